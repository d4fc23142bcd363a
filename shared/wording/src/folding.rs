//! Texts as they compare: what a person types as "Stop!", "STOP" or "ｓｔｏｐ" is one word.

use icu_casemap::CaseMapper;
use icu_normalizer::ComposingNormalizerBorrowed;

/// `text` in the form in which two texts are compared: without differences of case, of width and of how accents are
/// encoded, with single spaces, and without what stands around its first and last letter or digit. Empty where it has none.
#[must_use]
pub fn folded(text: &str) -> String {
    let nfkc = ComposingNormalizerBorrowed::new_nfkc();
    let folded = CaseMapper::new().fold_string(&nfkc.normalize(text)).into_owned();
    // Folding may take a text out of its normal form.
    let words: Vec<String> = nfkc.normalize(&folded).split_whitespace().map(str::to_owned).collect();
    words.join(" ").trim_matches(|c: char| !c.is_alphanumeric()).to_owned()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn one_word_however_it_is_typed() {
        for text in ["STOP", "stop", " Stop! ", "\"stop\".", "ｓｔｏｐ", "STOP 🛑", "*Stop*", "\u{200f}stop"] {
            assert_eq!(folded(text), "stop", "{text}");
        }
        assert_eq!(folded("ARRE\u{302}T"), folded("arrêt"));
        assert_eq!(folded("STRASSE"), folded("straße"));
        assert_eq!(folded("ΣΤΟΠ ΤΩΡΑΣ"), folded("στοπ τωρας"));
        assert_eq!(folded("Berhenti\u{a0}\n berlangganan"), "berhenti berlangganan");
    }

    #[test]
    fn other_words_stay_others() {
        assert_ne!(folded("stop it"), folded("stop"));
        assert_ne!(folded("nonstop"), folded("stop"));
        assert_eq!(folded(" !? 🛑"), "");
    }

    proptest! {
        #[test]
        fn what_was_folded_folds_to_itself(text in "\\PC{0,20}") {
            let once = folded(&text);
            prop_assert_eq!(folded(&once), once);
        }
    }
}
