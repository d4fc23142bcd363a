//! What becomes of each send. One short lock guards everything that sends share: limits, faults, counts, arrivals.

pub(crate) mod fate;
pub(crate) mod limits;
pub(crate) mod log;
pub(crate) mod register;
pub(crate) mod wamid;
pub(crate) mod window;
