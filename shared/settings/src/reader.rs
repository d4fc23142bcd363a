//! From as typed to validated: each text becomes a value once, and sections are read from the values.

use std::{collections::BTreeMap, net::SocketAddr, time::Duration};

use kabar_domain::{frequency_cap::FrequencyCap, pace::Rate, quiet_hours::QuietHours, wish::Covers};

use crate::{
    ApiVersion, DatabaseUrl, HttpBase, KeysAt, LogFormat, MasterKey, QueueUrl, Region, Secret, WebOrigin,
    kind::Value,
    nearest::nearest,
    problem::Problem,
    table::{self, Row, TABLE},
    typed::Typed,
};

/// Hands out valid values and gathers problems.
pub(crate) struct Reader<'t> {
    typed: &'t BTreeMap<&'static str, Typed>,
    /// The values not yet taken; none for a setting whose text was not allowed, which has been noted.
    pub(crate) values: BTreeMap<&'static str, Option<Value>>,
    pub(crate) problems: Vec<Problem>,
}

impl<'t> Reader<'t> {
    /// Checks every text in `typed`, beside the `problems` found so far.
    pub(crate) fn new(typed: &'t BTreeMap<&'static str, Typed>, problems: Vec<Problem>) -> Self {
        let mut reader = Self { typed, values: BTreeMap::new(), problems };
        for row in TABLE {
            if let Some(typed) = typed.get(row.key) {
                let value = reader.check(row, typed);
                reader.values.insert(row.key, value);
            }
        }
        reader
    }

    fn check(&mut self, row: &Row, typed: &Typed) -> Option<Value> {
        if row.optional && typed.text.is_empty() {
            return Some(Value::None);
        }
        let value = row.kind.parse(&typed.text);
        if value.is_none() {
            let words = row.kind.words();
            self.problems.push(Problem::BadValue {
                key: row.key.to_owned(),
                value: row.kind.mask(&typed.text),
                origin: typed.origin.clone(),
                allowed: row.kind.to_string(),
                nearest: nearest(&typed.text, words),
            });
        }
        value
    }

    /// Takes the value of `key`; none if it is not allowed, which has been noted. Each value is taken once.
    pub(crate) fn get<T: FromValue>(&mut self, key: &'static str) -> Option<T> {
        let value = match self.values.remove(key) {
            Some(None) => return None,
            Some(Some(value)) => T::from_value(value),
            None => None,
        };
        if value.is_none() {
            self.problems.push(Problem::Undeclared { key });
        }
        value
    }

    /// Notes that `keys` contradict each other unless `holds`; `rule` says what must hold.
    pub(crate) fn require(&mut self, holds: bool, keys: &[&'static str], rule: &str) {
        if !holds {
            self.contradiction(keys, rule);
        }
    }

    /// Notes that `keys` contradict each other; `rule` says what must hold.
    pub(crate) fn contradiction(&mut self, keys: &[&'static str], rule: &str) {
        let settings = keys.iter().map(|key| self.show(key)).collect::<Vec<_>>().join(", ");
        self.problems.push(Problem::Contradiction { settings, rule: rule.to_owned() });
    }

    fn show(&self, key: &str) -> String {
        match (self.typed.get(key), table::find(key)) {
            (Some(typed), Some(row)) => format!("{key} = {:?} ({})", row.kind.mask(&typed.text), typed.origin),
            _ => key.to_owned(),
        }
    }
}

/// A type that values of settings have.
pub(crate) trait FromValue: Sized {
    /// The value as this type; none if it is of another.
    fn from_value(value: Value) -> Option<Self>;
}

impl<T: FromValue> FromValue for Option<T> {
    fn from_value(value: Value) -> Option<Self> {
        match value {
            Value::None => Some(None),
            some => T::from_value(some).map(Some),
        }
    }
}

macro_rules! from_value {
    ($($type:ty = $variant:ident),+ $(,)?) => {$(
        impl FromValue for $type {
            fn from_value(value: Value) -> Option<Self> {
                if let Value::$variant(value) = value { Some(value) } else { None }
            }
        }
    )+};
}

from_value! {
    ApiVersion = ApiVersion,
    Covers = Covers,
    DatabaseUrl = DatabaseUrl,
    Duration = Duration,
    FrequencyCap = FrequencyCap,
    HttpBase = HttpBase,
    KeysAt = KeysAt,
    LogFormat = LogFormat,
    MasterKey = MasterKey,
    QueueUrl = QueueUrl,
    QuietHours = QuietHours,
    Rate = Rate,
    Region = Region,
    Secret = Secret,
    SocketAddr = Address,
    String = Text,
    Vec<WebOrigin> = Origins,
    Vec<Secret> = Secrets,
    Vec<String> = Words,
    bool = Flag,
    f64 = Share,
    chrono_tz::Tz = TimeZone,
    u64 = Integer,
}

macro_rules! from_integer {
    ($($type:ty),+) => {$(
        impl FromValue for $type {
            fn from_value(value: Value) -> Option<Self> {
                u64::from_value(value)?.try_into().ok()
            }
        }
    )+};
}

from_integer!(u8, u32, usize);
