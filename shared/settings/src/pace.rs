//! The pace: the fleet-wide rate at which a sender's requests depart.

use std::time::Duration;

use kabar_domain::{pace::Rate, pair_limit::PairLimit};

use crate::reader::Reader;

/// Settings of the pace.
#[derive(Debug, Clone)]
pub struct Pace {
    /// The rate of a sender for which none was set.
    pub default_rate: Rate,
    /// What the slots of a second are stretched by, 1 to 200 ms: bounds the jitter between a slot and the request's
    /// arrival at the provider.
    pub margin: Duration,
    /// How much a courier reserves at once, 10 ms to 1 s.
    pub reserve_ahead: Duration,
    /// The time kept before a slot for commit and travel, 10 to 50 ms.
    pub lead: Duration,
    /// How late a request may leave after its slot, up to 100 ms; always below the margin.
    pub late_tolerance: Duration,
    /// What normal messages keep while urgent ones would fill the pace, 0 to 40 hundredths.
    pub normal_floor_percent: u8,
    /// What bulk messages keep while more urgent ones would fill the pace, 0 to 40 hundredths.
    pub bulk_floor_percent: u8,
    /// What of a daily budget of people is kept for urgent messages, 0 to 50 hundredths.
    pub urgent_budget_percent: u8,
    /// How often one person may be written to by one sender; none: as often as there is something to say.
    pub pair_limit: Option<PairLimit>,
    /// From how much of a limit on calls on its senders are parked, 50 to 100 hundredths.
    pub call_limit_percent: u32,
}

impl Pace {
    pub(crate) fn read(reader: &mut Reader<'_>) -> Option<Self> {
        let pair_interval: Option<Duration> = reader.get("pace.pair_interval")?;
        let pair_burst = reader.get("pace.pair_burst")?;
        let pace = Self {
            default_rate: reader.get("pace.default_rate")?,
            margin: reader.get("pace.margin")?,
            reserve_ahead: reader.get("pace.reserve_ahead")?,
            lead: reader.get("pace.lead")?,
            late_tolerance: reader.get("pace.late_tolerance")?,
            normal_floor_percent: reader.get("pace.normal_floor_percent")?,
            bulk_floor_percent: reader.get("pace.bulk_floor_percent")?,
            urgent_budget_percent: reader.get("pace.urgent_budget_percent")?,
            pair_limit: pair_interval.map(|interval| PairLimit::new(interval, pair_burst)),
            call_limit_percent: reader.get("pace.call_limit_percent")?,
        };
        // A rate's worth of slots spans a second and the margin; lateness of a whole margin would use that up.
        reader.require(
            pace.late_tolerance < pace.margin,
            &["pace.late_tolerance", "pace.margin"],
            "the tolerance must be below the margin, or a second could hold more than the rate",
        );
        Some(pace)
    }
}
