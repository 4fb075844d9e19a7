//! Finds the built page, packs its files, and writes down where they are.

use std::fmt::Write as _;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::{env, fs, io};

use sha2::{Digest as _, Sha256};

/// A packed file is kept where it is at most this many percent of the plain one.
const WORTH: usize = 90;

pub(crate) fn embed() {
    println!("cargo::rerun-if-env-changed=PULLTRACE_WEB_DIST");
    let dist =
        env::var_os("PULLTRACE_WEB_DIST").map_or_else(|| here().join("../web/dist"), Into::into);
    println!("cargo::rerun-if-changed={}", dist.display());
    let mut files = Vec::new();
    let found = walk(&dist, "", &mut files);
    let built = found.is_ok() && files.iter().any(|(name, _)| name == "index.html");
    if !built {
        missing(&dist);
        files = vec![("index.html".to_owned(), here().join("src/ui/missing.html"))];
    }
    files.sort();
    let out = PathBuf::from(env::var_os("OUT_DIR").expect("cargo sets it"));
    let written = write(&files, built, &out);
    written.unwrap_or_else(|error| panic!("cannot embed the page of {}: {error}", dist.display()));
}

fn missing(dist: &Path) {
    let what = format!(
        "feature `ui` embeds the page, and there is none in {}: build it by `npm ci && npm run build` in web/, or say where it is by PULLTRACE_WEB_DIST",
        dist.display()
    );
    if is_release() {
        println!("cargo::error={what}");
    } else {
        println!("cargo::warning={what}");
    }
}

fn here() -> PathBuf {
    PathBuf::from(env::var_os("CARGO_MANIFEST_DIR").expect("cargo sets it"))
}

fn is_release() -> bool {
    env::var("PROFILE").is_ok_and(|profile| profile == "release")
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

/// Writes the packed files, and the Rust that embeds them.
fn write(files: &[(String, PathBuf)], built: bool, out: &Path) -> io::Result<()> {
    let mut whole = Sha256::new();
    let mut text = "static EMBEDDED: Page = Page {\n    files: &[\n".to_owned();
    for (number, (name, path)) in files.iter().enumerate() {
        let plain = fs::read(path)?;
        let hash = hex(&Sha256::digest(&plain));
        whole.update(format!("{name} {hash}\n"));
        let packed = |packed: Vec<u8>, ending: &str| -> io::Result<String> {
            if packed.len() * 100 > plain.len() * WORTH {
                return Ok("None".to_owned());
            }
            let path = out.join(format!("{number}.{ending}"));
            fs::write(&path, packed)?;
            Ok(format!("Some(include_bytes!({path:?}))"))
        };
        let (gzip, br) = (packed(gzip(&plain)?, "gz")?, packed(brotli(&plain)?, "br")?);
        writeln!(
            text,
            "        File {{ name: {name:?}, hash: {hash:?}, plain: include_bytes!({path:?}), gzip: {gzip}, br: {br} }},"
        )
        .expect("a string takes all");
    }
    let build = built.then(|| hex(&whole.finalize()));
    writeln!(text, "    ],\n    build: {build:?},\n}};").expect("a string takes all");
    fs::write(out.join("page.rs"), text)
}

/// 16 digits, by which contents that differ are told apart.
fn hex(hash: &[u8]) -> String {
    let digits = hash.iter().take(8).map(|byte| format!("{byte:02x}"));
    digits.collect()
}

fn gzip(plain: &[u8]) -> io::Result<Vec<u8>> {
    let mut packer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    packer.write_all(plain)?;
    packer.finish()
}

fn brotli(plain: &[u8]) -> io::Result<Vec<u8>> {
    let mut packed = Vec::new();
    let params = brotli::enc::BrotliEncoderParams {
        // What is packed once may take its time; what is only tested need not.
        quality: if is_release() { 11 } else { 5 },
        size_hint: plain.len(),
        ..Default::default()
    };
    brotli::BrotliCompress(&mut &*plain, &mut packed, &params)?;
    Ok(packed)
}
