//! Where a span is, and what W3C's `traceparent` says of who called.

use opentelemetry::trace::{SpanContext, SpanId, TraceFlags, TraceId, TraceState};

/// Where a span is: its trace, and its own id in there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    pub(super) trace: TraceId,
    pub(super) span: SpanId,
}

impl Place {
    /// The place that follows from a seed which looks like chance, such as a hash: the same each time.
    #[must_use]
    pub fn from_seed(seed: &[u8; 32]) -> Self {
        let (mut trace, mut span) = ([0; 16], [0; 8]);
        trace.copy_from_slice(&seed[..16]);
        span.copy_from_slice(&seed[16..24]);
        Self { trace: TraceId::from_bytes(trace), span: SpanId::from_bytes(span) }
    }

    /// A place that nobody else knows, in a trace of its own.
    #[must_use]
    pub fn fresh() -> Self {
        // Zero is no valid id.
        let (trace, span) = (fastrand::u128(1..), fastrand::u64(1..));
        Self { trace: TraceId::from_bytes(trace.to_be_bytes()), span: SpanId::from_bytes(span.to_be_bytes()) }
    }

    /// The same span's place, were it in the trace of `other`.
    #[must_use]
    pub const fn in_trace_of(self, other: Self) -> Self {
        Self { trace: other.trace, span: self.span }
    }

    /// A place that nobody else knows in the same trace.
    #[must_use]
    pub fn beside(self) -> Self {
        Self::fresh().in_trace_of(self)
    }

    /// What decides whether the trace is kept: 63 bits of its id, as OpenTelemetry's `TraceIdRatioBased` takes them.
    pub(super) fn sample(self) -> u64 {
        let [.., a, b, c, d, e, f, g, h] = self.trace.to_bytes();
        u64::from_be_bytes([a, b, c, d, e, f, g, h]) >> 1
    }

    pub(super) fn context(self, is_remote: bool) -> SpanContext {
        SpanContext::new(self.trace, self.span, TraceFlags::SAMPLED, is_remote, TraceState::default())
    }
}

/// Who called, as they say in a `traceparent`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Caller {
    /// Where they are.
    pub place: Place,
    /// Whether they keep their trace.
    pub keeps: bool,
}

impl Caller {
    /// Reads a `traceparent` of W3C's Trace Context; none if it is not valid, which is not worth refusing anything for.
    #[must_use]
    pub fn parse(traceparent: &str) -> Option<Self> {
        let mut parts = traceparent.trim().split('-');
        let [version, trace, span, flags] = [parts.next()?, parts.next()?, parts.next()?, parts.next()?];
        let version = hex(version, 2)?;
        // Later versions may say more after a further dash; ff is none.
        if version == 0xff || (version == 0 && parts.next().is_some()) {
            return None;
        }
        let (trace, span, flags) = (hex(trace, 32)?, hex(span, 16)?, hex(flags, 2)?);
        let span = u64::try_from(span).ok()?;
        if trace == 0 || span == 0 {
            return None;
        }
        let place =
            Place { trace: TraceId::from_bytes(trace.to_be_bytes()), span: SpanId::from_bytes(span.to_be_bytes()) };
        Some(Self { place, keeps: flags & 1 == 1 })
    }
}

/// Exactly so many small hexadecimal digits.
fn hex(text: &str, digits: usize) -> Option<u128> {
    let fits = text.len() == digits && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    fits.then(|| u128::from_str_radix(text, 16).ok())?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_traceparent_is_read_as_w3c_has_it() {
        let text = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
        let caller = Caller::parse(text).unwrap();
        assert_eq!(caller.place.trace.to_string(), "4bf92f3577b34da6a3ce929d0e0e4736");
        assert_eq!(caller.place.span.to_string(), "00f067aa0ba902b7");
        assert!(caller.keeps);
        assert!(!Caller::parse(&text.replace("-01", "-02")).unwrap().keeps);
        assert!(Caller::parse(&format!("cc{}-what-will-be", &text[2..])).is_some(), "a later version");
        for wrong in [
            "",
            "00",
            "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
            "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-more",
            "00-+bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
        ] {
            assert_eq!(Caller::parse(wrong), None, "{wrong:?}");
        }
    }

    #[test]
    fn a_place_follows_from_its_seed() {
        let seed: [u8; 32] = std::array::from_fn(|index| index as u8);
        let place = Place::from_seed(&seed);
        assert_eq!(place, Place::from_seed(&seed));
        assert_eq!(place.trace.to_string(), "000102030405060708090a0b0c0d0e0f");
        assert_eq!(place.span.to_string(), "1011121314151617");
        let beside = place.beside();
        assert!(beside.trace == place.trace && beside.span != place.span);
    }
}
