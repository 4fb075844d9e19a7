//! Finds the built page, compresses its files and generates the code that embeds them.

use std::fmt::Write as _;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::{env, fs, io};

use sha2::{Digest as _, Sha256};

/// A compressed file is kept if it has at most this percentage of the original size.
const MAX_PACKED_PERCENT: usize = 90;

pub(crate) fn embed() {
    println!("cargo::rerun-if-env-changed=PULLTRACE_WEB_DIST");
    let dist = env::var_os("PULLTRACE_WEB_DIST")
        .map_or_else(|| manifest_dir().join("../web/dist"), Into::into);
    println!("cargo::rerun-if-changed={}", dist.display());
    let mut files = Vec::new();
    let found = walk(&dist, "", &mut files);
    let built = found.is_ok() && files.iter().any(|(name, _)| name == "index.html");
    if !built {
        report_missing_page(&dist);
        files = vec![("index.html".to_owned(), manifest_dir().join("src/ui/missing.html"))];
    }
    files.sort();
    let out = PathBuf::from(env::var_os("OUT_DIR").expect("set by cargo"));
    let written = write_embedded(&files, built, &out);
    written.unwrap_or_else(|error| {
        panic!("failed to embed the page from {}: {error}", dist.display())
    });
}

fn report_missing_page(dist: &Path) {
    let what = format!(
        "feature `ui`: no built page in {}; run `npm ci && npm run build` in web/, or set PULLTRACE_WEB_DIST",
        dist.display()
    );
    if is_release() {
        println!("cargo::error={what}");
    } else {
        println!("cargo::warning={what}");
    }
}

fn manifest_dir() -> PathBuf {
    PathBuf::from(env::var_os("CARGO_MANIFEST_DIR").expect("set by cargo"))
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

/// Writes the compressed files, and the Rust code that embeds them.
fn write_embedded(files: &[(String, PathBuf)], built: bool, out: &Path) -> io::Result<()> {
    let mut whole = Sha256::new();
    let mut text = "static EMBEDDED: Page = Page {\n    files: &[\n".to_owned();
    for (number, (name, path)) in files.iter().enumerate() {
        let plain = fs::read(path)?;
        let hash = short_hex(&Sha256::digest(&plain));
        whole.update(format!("{name} {hash}\n"));
        let packed = |packed: Vec<u8>, ending: &str| -> io::Result<String> {
            if packed.len() * 100 > plain.len() * MAX_PACKED_PERCENT {
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
        .expect("writing to a String never fails");
    }
    let build = built.then(|| short_hex(&whole.finalize()));
    writeln!(text, "    ],\n    build: {build:?},\n}};").expect("writing to a String never fails");
    fs::write(out.join("page.rs"), text)
}

/// A 16-digit fingerprint of the contents.
fn short_hex(hash: &[u8]) -> String {
    let digits = hash.iter().take(8).map(|byte| format!("{byte:02x}"));
    digits.collect()
}

fn gzip(plain: &[u8]) -> io::Result<Vec<u8>> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    encoder.write_all(plain)?;
    encoder.finish()
}

fn brotli(plain: &[u8]) -> io::Result<Vec<u8>> {
    let mut packed = Vec::new();
    let params = brotli::enc::BrotliEncoderParams {
        // Best compression for releases, fast compression otherwise.
        quality: if is_release() { 11 } else { 5 },
        size_hint: plain.len(),
        ..Default::default()
    };
    brotli::BrotliCompress(&mut &*plain, &mut packed, &params)?;
    Ok(packed)
}
