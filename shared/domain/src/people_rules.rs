//! What an installation keeps to towards people, beside what each of them said: consent, quiet hours, frequency caps.

use std::collections::BTreeMap;

use chrono_tz::Tz;

use crate::{category::Category, frequency_cap::FrequencyCap, phone::PhoneNumber, quiet_hours::QuietHours};

/// What an installation keeps to towards people.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct PeopleRules {
    /// Whether marketing goes only to those whose consent is known.
    pub marketing_needs_consent: bool,
    /// The quiet hours of each category that has some.
    pub quiet_hours: BTreeMap<Category, QuietHours>,
    /// The cap of each category that has one.
    pub frequency_caps: BTreeMap<Category, FrequencyCap>,
    /// The zone of people whose own is not known, and whose country has several.
    pub default_timezone: Tz,
}

impl PeopleRules {
    /// Whether such messages go only to those whose consent is known.
    #[must_use]
    pub fn needs_consent(&self, category: Category) -> bool {
        self.marketing_needs_consent && category == Category::Marketing
    }

    /// The quiet hours that messages of a category keep; urgent messages to one person keep none.
    #[must_use]
    pub fn quiet_hours(&self, category: Category, urgent_single: bool) -> Option<QuietHours> {
        self.quiet_hours.get(&category).copied().filter(|_| !urgent_single)
    }

    /// Where a person is: their own zone where it is known, else that of their number's country where it has but one.
    #[must_use]
    pub fn zone_of(&self, own: Option<Tz>, phone: &PhoneNumber) -> Tz {
        own.or_else(|| phone.timezone()).unwrap_or(self.default_timezone)
    }
}
