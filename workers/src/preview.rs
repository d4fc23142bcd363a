//! What a job would come to, before anything is written: the same answers for the command line and for other doors.

mod broadcast;
mod reminder;

pub use broadcast::{BroadcastPreview, BroadcastPreviewer, CHUNK, Example, LeftOut, Person};
pub use reminder::{PreviewedMessage, ReminderPreview, local};
