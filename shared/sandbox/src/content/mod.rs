//! What a call to `/messages` may say: the envelope, and one file per kind of content with the platform's limits.
//!
//! A body is parsed once into a JSON value; everything here borrows from it.

mod fields;
mod interactive;
mod media;
pub(crate) mod recipient;
pub(crate) mod request;
mod simple;
pub(crate) mod template;
