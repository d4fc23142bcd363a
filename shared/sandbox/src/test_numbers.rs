//! Recipients that always behave the same, for trying out a system by hand and in examples.

/// What happens to a message to a recipient.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Behaviour {
    /// It is accepted and delivered.
    Accepted,
    /// It is accepted; a `failed` status with this code follows.
    FailsLater(i64),
    /// It is refused with this code.
    Refused(i64),
}

/// A recipient with a fixed behaviour.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TestNumber {
    /// The recipient as digits, without a plus.
    pub digits: &'static str,
    /// What happens to messages to it.
    pub behaviour: Behaviour,
}

/// Every recipient with a fixed behaviour.
///
/// | digits | also | behaviour |
/// |---|---|---|
/// | `15550100` | `15555550100` | accepted, then sent, delivered and perhaps read |
/// | `15550101` | `15555550101` | accepted, then a `failed` status with 131026 (undeliverable) |
/// | `15550102` | `15555550102` | refused at once with 131047 (the service window is closed) |
///
/// The short form is how `+1 555-0100` reads without its punctuation, the long one `+1 555 555 0100`. Every other
/// recipient is accepted. [`Faults::fail_codes`](crate::Faults::fail_codes) goes before this table.
pub const TEST_NUMBERS: [TestNumber; 6] = [
    TestNumber { digits: "15550100", behaviour: Behaviour::Accepted },
    TestNumber { digits: "15550101", behaviour: Behaviour::FailsLater(131_026) },
    TestNumber { digits: "15550102", behaviour: Behaviour::Refused(131_047) },
    TestNumber { digits: "15555550100", behaviour: Behaviour::Accepted },
    TestNumber { digits: "15555550101", behaviour: Behaviour::FailsLater(131_026) },
    TestNumber { digits: "15555550102", behaviour: Behaviour::Refused(131_047) },
];

/// The behaviour of a recipient given as digits.
pub(crate) fn behaviour(digits: &str) -> Behaviour {
    TEST_NUMBERS.iter().find(|number| number.digits == digits).map_or(Behaviour::Accepted, |number| number.behaviour)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_listed_numbers_misbehave() {
        assert_eq!(behaviour("15550101"), Behaviour::FailsLater(131_026));
        assert_eq!(behaviour("15555550102"), Behaviour::Refused(131_047));
        assert_eq!(behaviour("155501012"), Behaviour::Accepted);
        assert_eq!(behaviour("628123456789"), Behaviour::Accepted);
    }
}
