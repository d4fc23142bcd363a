//! What people say of what they want to get: STOP and START, in the words of many languages.

use std::{collections::HashMap, str::FromStr};

use serde::{Deserialize, Serialize};

use crate::{
    category::Category,
    message::UnknownName,
    report::{Inbound, PersonsWish},
};

/// What an opt-out covers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Covers {
    /// Messages of the category marketing.
    Marketing,
    /// Every message.
    All,
}

impl Covers {
    /// Both.
    pub const BOTH: [Self; 2] = [Self::Marketing, Self::All];

    /// The name in the ledger, the API and the CLI.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Marketing => "marketing",
            Self::All => "all",
        }
    }
}

impl Covers {
    /// Whether messages of this category are among them.
    #[must_use]
    pub fn includes(self, category: Category) -> bool {
        match self {
            Self::All => true,
            Self::Marketing => category == Category::Marketing,
        }
    }
}

impl FromStr for Covers {
    type Err = UnknownName;

    fn from_str(text: &str) -> Result<Self, UnknownName> {
        Self::BOTH.into_iter().find(|covers| covers.as_str() == text).ok_or_else(|| UnknownName(text.to_owned()))
    }
}

/// What a person wants from now on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wish {
    /// No more of these.
    Stop(Covers),
    /// These again.
    Start(Covers),
}

impl Wish {
    /// The parts of all messages that the wish is about. Who wants everything again wants marketing again, too; an opt-out
    /// of everything says nothing of what is to hold once that is taken back.
    #[must_use]
    pub const fn parts(self) -> &'static [Covers] {
        match self {
            Self::Start(Covers::All) => &Covers::BOTH,
            Self::Stop(Covers::All) => &[Covers::All],
            Self::Stop(Covers::Marketing) | Self::Start(Covers::Marketing) => &[Covers::Marketing],
        }
    }

    /// Whether the person wants messages.
    #[must_use]
    pub const fn wants(self) -> bool {
        matches!(self, Self::Start(_))
    }
}

/// The words by which people say what they want.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WishWords {
    words: HashMap<String, Wish>,
}

/// A word that is both a STOP word and a START word.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} says both to stop and to start")]
pub struct AmbiguousWord(pub String);

impl WishWords {
    /// Words that stop what `covers` says, and words that start everything again.
    ///
    /// # Errors
    /// When a word is of both kinds.
    pub fn new(stop: &[String], start: &[String], covers: Covers) -> Result<Self, AmbiguousWord> {
        let stop = stop.iter().map(|word| (word, Wish::Stop(covers)));
        let start = start.iter().map(|word| (word, Wish::Start(Covers::All)));
        let mut words = HashMap::new();
        for (word, wish) in stop.chain(start) {
            if words.insert(kabar_wording::folded(word), wish).is_some_and(|other| other != wish) {
                return Err(AmbiguousWord(word.clone()));
            }
        }
        words.remove("");
        Ok(Self { words })
    }

    /// The wish that an inbound message is, where its sender is known: a text, or the label of a button or list entry.
    #[must_use]
    pub fn said_in(&self, inbound: &Inbound) -> Option<PersonsWish> {
        let source = match inbound.kind.as_str() {
            "text" => "their message",
            "button" | "interactive" => "a button that they tapped",
            _ => return None,
        };
        Some(PersonsWish {
            sender_address: inbound.sender_address.clone(),
            from: inbound.from.clone()?,
            wish: self.wish(inbound.text.as_deref()?)?,
            source,
            at: inbound.at,
        })
    }

    /// The wish that a message says, where all of it is one of the words. Case, width, punctuation around it and the number
    /// of spaces make no difference.
    #[must_use]
    pub fn wish(&self, text: &str) -> Option<Wish> {
        let longest = self.words.keys().map(String::len).max()?;
        // A long message is no word, however it folds, and is not looked at.
        (text.len() <= longest.saturating_mul(8))
            .then(|| self.words.get(&kabar_wording::folded(text)).copied())
            .flatten()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words() -> WishWords {
        let list = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>();
        let stop = list(&["STOP", "Berhenti", "BERHENTI BERLANGGANAN", "停止", "DỪNG"]);
        WishWords::new(&stop, &list(&["START", "MULAI"]), Covers::Marketing).unwrap()
    }

    #[test]
    fn the_whole_message_is_the_word() {
        let words = words();
        for text in ["stop", " Stop. ", "BERHENTI!", "berhenti  berlangganan", "停止", "du\u{31b}\u{300}ng"] {
            assert_eq!(words.wish(text), Some(Wish::Stop(Covers::Marketing)), "{text}");
        }
        for text in ["", "…", "don't stop", "stop it", "berhenti dulu ya", &"stop ".repeat(100_000)] {
            assert_eq!(words.wish(text), None);
        }
        assert_eq!(words.wish("Mulai"), Some(Wish::Start(Covers::All)));
    }

    #[test]
    fn texts_and_buttons_count_captions_do_not() {
        let inbound = |kind: &str| Inbound {
            sender_address: "1".to_owned(),
            from: Some(crate::phone::PhoneNumber::from_e164("+6281234567890").unwrap()),
            provider_message_id: "wamid.1".to_owned(),
            at: chrono::DateTime::UNIX_EPOCH,
            kind: kind.to_owned(),
            text: Some("Stop".to_owned()),
        };
        for (kind, counts) in
            [("text", true), ("button", true), ("interactive", true), ("image", false), ("reaction", false)]
        {
            assert_eq!(words().said_in(&inbound(kind)).is_some(), counts, "{kind}");
        }
        assert_eq!(words().said_in(&Inbound { from: None, ..inbound("text") }), None);
    }

    #[test]
    fn no_word_says_both() {
        let one = |word: &str| vec![word.to_owned()];
        assert_eq!(WishWords::new(&one("Stop"), &one("STOP!"), Covers::All), Err(AmbiguousWord("STOP!".to_owned())));
        let none = WishWords::new(&[], &[], Covers::All).unwrap();
        assert_eq!(none.wish("STOP"), None);
    }

    #[test]
    fn a_start_takes_back_every_stop() {
        assert_eq!(Wish::Start(Covers::All).parts(), Covers::BOTH);
        assert_eq!(Wish::Stop(Covers::All).parts(), [Covers::All]);
        assert_eq!(Wish::Start(Covers::Marketing).parts(), [Covers::Marketing]);
    }
}
