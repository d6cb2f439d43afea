//! WhatsApp: the text export, the Android folder and its encrypted databases.

pub mod android;
pub mod crypt;
pub mod text;
