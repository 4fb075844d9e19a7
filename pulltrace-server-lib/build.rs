//! With feature `ui`: which files the page has, for `src/ui.rs` to embed.
//!
//! The page is built by Node, and nothing else here is. So without a built page a debug build warns and
//! embeds a note in its place, and a release build fails.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::{env, fs, io};

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    if env::var_os("CARGO_FEATURE_UI").is_none() {
        return;
    }
    println!("cargo::rerun-if-env-changed=PULLTRACE_WEB_DIST");
    let dist =
        env::var_os("PULLTRACE_WEB_DIST").map_or_else(|| here().join("../web/dist"), Into::into);
    println!("cargo::rerun-if-changed={}", dist.display());
    let mut files = Vec::new();
    let found = walk(&dist, "", &mut files);
    if found.is_err() || !files.iter().any(|(name, _)| name == "index.html") {
        let what = format!(
            "feature `ui` embeds the page, and there is none in {}: build it by `npm ci && npm run build` in web/, or say where it is by PULLTRACE_WEB_DIST",
            dist.display()
        );
        if env::var("PROFILE").is_ok_and(|profile| profile == "release") {
            println!("cargo::error={what}");
        } else {
            println!("cargo::warning={what}");
        }
        files = vec![("index.html".to_owned(), here().join("src/ui/missing.html"))];
    }
    files.sort();
    let mut text = "static FILES: &[(&str, &[u8])] = &[\n".to_owned();
    for (name, path) in &files {
        writeln!(text, "    ({name:?}, include_bytes!({path:?})),").expect("a string takes all");
    }
    text.push_str("];\n");
    let out = PathBuf::from(env::var_os("OUT_DIR").expect("cargo sets it")).join("page.rs");
    fs::write(&out, text).unwrap_or_else(|error| panic!("cannot write {}: {error}", out.display()));
}

fn here() -> PathBuf {
    PathBuf::from(env::var_os("CARGO_MANIFEST_DIR").expect("cargo sets it"))
}

fn walk(dir: &Path, under: &str, files: &mut Vec<(String, PathBuf)>) -> io::Result<()> {
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        let name = format!("{under}{}", entry.file_name().to_string_lossy());
        if entry.file_type()?.is_dir() {
            walk(&entry.path(), &format!("{name}/"), files)?;
        } else {
            files.push((name, fs::canonicalize(entry.path())?));
        }
    }
    Ok(())
}
