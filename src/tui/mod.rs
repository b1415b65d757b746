//! The screen: state, update, and one file a pane under `view/`. The one layer that knows ratatui.
//!
//! The thread that draws does nothing else: it waits for an input, makes a new state of it, and draws. Engine, pictures and the
//! keyboard have threads of their own.

mod act;
mod app;
pub mod commands;
mod complete;
pub mod config;
pub mod demos;
pub mod derived;
pub mod keys;
pub mod lanes;
pub mod layout;
pub mod lines;
mod mouse;
mod moves;
mod news;
mod overlay;
pub mod picture;
pub mod search;
pub mod state;
mod terminal;
pub mod text;
pub mod theme;
pub mod update;
pub mod view;

pub use app::{Left, Options, run};
pub use commands::KeyMap;
pub use config::Config;
pub use demos::Demo;
pub use theme::{Look, Theme};
