//! Bytes of others, at each door: anything at all, and real inputs that were damaged on the way. The fuzz targets look
//! further by the same functions; here a little of it runs with every change.

use kabar_tests::inputs::{INPUTS, Input};
use proptest::prelude::*;

/// What is put into damaged inputs: what readers trip over.
const PIECES: [&[u8]; 20] = [
    b"\"",
    b"{",
    b"}",
    b"[",
    b"]",
    b",",
    b":",
    b"\\u0000",
    b"\\ud800",
    b"null",
    b"-1",
    b"1e999",
    b"18446744073709551616",
    b"\r",
    b"\n",
    b";",
    b"\xff",
    b"\xef\xbb\xbf",
    b"+62 812-3456-7890",
    "٠٩".as_bytes(),
];

/// One damage: `length` bytes from a place on are replaced by a piece, or by bytes from elsewhere in the input.
#[derive(Debug, Clone)]
struct Damage {
    at: prop::sample::Index,
    length: usize,
    piece: Option<usize>,
    from: prop::sample::Index,
}

fn damage() -> impl Strategy<Value = Damage> {
    let piece = proptest::option::of(0..PIECES.len());
    let at = any::<prop::sample::Index>();
    (at, 0..40_usize, piece, any::<prop::sample::Index>()).prop_map(|(at, length, piece, from)| Damage {
        at,
        length,
        piece,
        from,
    })
}

fn damaged(mut bytes: Vec<u8>, damages: &[Damage]) -> Vec<u8> {
    for damage in damages {
        let end = |start: usize, bytes: &[u8]| (start + damage.length).min(bytes.len());
        let from = damage.from.index(bytes.len() + 1);
        let piece =
            damage.piece.map_or_else(|| bytes[from..end(from, &bytes)].to_vec(), |piece| PIECES[piece].to_vec());
        let at = damage.at.index(bytes.len() + 1);
        bytes.splice(at..end(at, &bytes), piece);
    }
    bytes
}

fn input() -> impl Strategy<Value = Input> {
    proptest::sample::select(&INPUTS[..])
}

#[test]
fn real_inputs_are_read() {
    for input in INPUTS {
        let seeds = input.seeds();
        assert!(!seeds.is_empty(), "{} has no real inputs", input.name);
        seeds.iter().for_each(|seed| (input.read)(seed));
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn anything_is_read_or_refused(input in input(), bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
        (input.read)(&bytes);
    }

    #[test]
    fn what_was_damaged_is_read_or_refused(
        input in input(),
        seed in any::<prop::sample::Index>(),
        damages in proptest::collection::vec(damage(), 1..6),
    ) {
        let seeds = input.seeds();
        (input.read)(&damaged(seed.get(&seeds).clone(), &damages));
    }
}
