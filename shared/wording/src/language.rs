//! The language of a template, as its provider names it.

use icu_calendar::Gregorian;
use icu_datetime::{FixedCalendarDateTimeFormatter, fieldsets::YMD};
use icu_locale_core::{Locale, locale};

use crate::Unwritable;

/// A language with words of its own, such as `id`, `en_US` or `zh_HK`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Language(Locale);

impl Language {
    pub(crate) const fn locale(&self) -> &Locale {
        &self.0
    }
}

impl std::str::FromStr for Language {
    type Err = Unwritable;

    fn from_str(code: &str) -> Result<Self, Unwritable> {
        let unknown = || Unwritable::Language(code.chars().take(20).collect());
        let locale: Locale = code.replace('_', "-").parse().map_err(|_| unknown())?;
        // A language without data falls back to words that are nobody's, such as "2026 M12 12".
        let nobodys = month_of(&locale!("und"));
        if month_of(&locale).is_none_or(|month| Some(month) == nobodys) { Err(unknown()) } else { Ok(Self(locale)) }
    }
}

/// How the locale writes some day with the name of its month.
fn month_of(locale: &Locale) -> Option<String> {
    let day = icu_calendar::Date::try_new_gregorian(2026, 12, 12).ok()?;
    let long = FixedCalendarDateTimeFormatter::<Gregorian, _>::try_new(locale.clone().into(), YMD::long()).ok()?;
    Some(long.format(&day).to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What the platform offers for templates (Cloud API, supported languages).
    const OF_TEMPLATES: [&str; 71] = [
        "af", "sq", "ar", "ar_EG", "ar_AE", "ar_LB", "ar_MA", "ar_QA", "az", "be_BY", "bn", "bn_IN", "bg", "ca",
        "zh_CN", "zh_HK", "zh_TW", "hr", "cs", "da", "nl", "nl_BE", "en", "en_GB", "en_US", "en_AU", "et", "fil", "fi",
        "fr", "fr_BE", "ka", "de", "de_AT", "el", "gu", "ha", "he", "hi", "hu", "id", "ga", "it", "ja", "kn", "kk",
        "rw_RW", "ko", "ky_KG", "lo", "lv", "lt", "mk", "ms", "ml", "mr", "nb", "ps_AF", "fa", "pl", "pt_BR", "pt_PT",
        "pa", "ro", "ru", "sr", "sk", "sl", "es", "es_MX", "sw",
    ];

    #[test]
    fn the_languages_of_templates_are_known() {
        let unknown: Vec<_> = OF_TEMPLATES.iter().filter(|code| code.parse::<Language>().is_err()).collect();
        assert!(unknown.is_empty(), "{unknown:?}");
    }

    #[test]
    fn what_is_no_language_is_refused() {
        for code in ["", "xx", "english", "id-", "!"] {
            assert!(matches!(code.parse::<Language>(), Err(Unwritable::Language(_))), "{code}");
        }
    }
}
