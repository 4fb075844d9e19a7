//! With feature `ui`: which files the page has, packed for browsers, for `src/ui.rs` to embed.
//!
//! The page is built by Node, and nothing else here is. So without a built page a debug build warns and
//! embeds a note in its place, and a release build fails.

#[cfg(feature = "ui")]
#[path = "build/page.rs"]
mod page;

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-changed=build");
    #[cfg(feature = "ui")]
    page::embed();
}
