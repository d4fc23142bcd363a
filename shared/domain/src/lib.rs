//! The nouns and the rules of kabar.
//!
//! Everything here is pure: no clock, no randomness, no database, no network. Time and randomness come in as
//! arguments, so that a day of sending can be tested in a moment.
//!
//! The way of the data through these modules: a [`job`] carries [`content`] for [`phone`] numbers; it is planned into
//! messages whose life is in [`message`]; each attempt ends in an [`outcome`]; [`pace`] says how fast.

pub mod category;
pub mod content;
mod country_zones;
pub mod frequency_cap;
pub mod job;
pub mod json;
pub mod message;
pub mod outcome;
pub mod pace;
pub mod pair_limit;
pub mod people_rules;
pub mod phone;
pub mod quiet_hours;
pub mod reminder;
pub mod report;
pub mod schedule;
pub mod scope;
pub mod sender;
pub mod template;
pub mod wish;
