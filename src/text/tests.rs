#![allow(clippy::unwrap_used)]

use std::io::{BufRead, Write};

use super::*;

const TEXT: &str = "select 'é中😀'\nfrom x";

/// Returns a text in UTF-16.
fn utf_16(text: &str, big_endian: bool, marked: bool) -> Vec<u8> {
    let mark = if marked { "\u{feff}" } else { "" };
    let units = format!("{mark}{text}").encode_utf16().collect::<Vec<_>>();
    units.iter().flat_map(|unit| if big_endian { unit.to_be_bytes() } else { unit.to_le_bytes() }).collect()
}

fn file_of(bytes: &[u8]) -> tempfile::NamedTempFile {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(bytes).unwrap();
    file
}

#[test]
fn a_text_is_the_same_in_every_form() {
    let marked = format!("\u{feff}{TEXT}").into_bytes();
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gzip.write_all(&marked).unwrap();
    // A gzip file may have several members.
    let mut members = gzip.finish().unwrap();
    let mut second = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    second.write_all(b";").unwrap();
    members.extend(second.finish().unwrap());
    let zstd = zstd::encode_all(utf_16(TEXT, false, true).as_slice(), 1).unwrap();
    for (bytes, expected) in [
        (TEXT.as_bytes().to_vec(), TEXT.to_owned()),
        (marked, TEXT.to_owned()),
        (utf_16(TEXT, false, true), TEXT.to_owned()),
        (utf_16(TEXT, true, true), TEXT.to_owned()),
        (utf_16(TEXT, false, false), TEXT.to_owned()),
        (utf_16(TEXT, true, false), TEXT.to_owned()),
        (TEXT.replace('\n', "\r\n").into_bytes(), TEXT.to_owned()),
        (TEXT.replace('\n', "\r").into_bytes(), TEXT.to_owned()),
        (utf_16(&TEXT.replace('\n', "\r\n"), false, true), TEXT.to_owned()),
        (members, format!("{TEXT};")),
        (zstd, TEXT.to_owned()),
        (Vec::new(), String::new()),
        (vec![0xef, 0xbb, 0xbf], String::new()),
        (vec![0xff, 0xfe], String::new()),
    ] {
        assert_eq!(read(file_of(&bytes).path(), "file", 1 << 20).unwrap(), expected, "{bytes:02x?}");
    }
    assert_eq!(decode(&utf_16(TEXT, false, true), "x").unwrap(), TEXT);
}

#[test]
fn bytes_that_need_not_be_text_have_the_encodings_of_all_texts() {
    for bytes in [
        TEXT.as_bytes().to_vec(),
        format!("\u{feff}{TEXT}").into_bytes(),
        utf_16(TEXT, false, true),
        utf_16(TEXT, true, true),
        utf_16(TEXT, false, false),
        utf_16(TEXT, true, false),
    ] {
        assert_eq!(decode_leniently(&bytes), TEXT, "{bytes:02x?}");
    }
    assert_eq!(decode_leniently(b"caf\xe9\r\n"), "caf\u{fffd}\r\n");
}

#[test]
fn line_ends_are_unified_across_the_pieces_of_a_long_text() {
    // Lines of 8 bytes, so that the `\r\n` of a line lies across the ends of pieces.
    for end in ["\r\n", "\r", "\n"] {
        let long: String = (0..100_000).map(|line| format!("{line:07}{end}")).collect();
        let unified = read(file_of(long.as_bytes()).path(), "file", 1 << 30).unwrap();
        assert_eq!(unified, (0..100_000).map(|line| format!("{line:07}\n")).collect::<String>());
    }
    // A lone `\r` within lines that end otherwise is not a line end.
    assert_eq!(decode(b"a\nb\rc\r\nd\r", "x").unwrap(), "a\nb\rc\nd\r");
    let mut kept = String::new();
    open(file_of(b"a\r\nb\rc").path(), "file", LineEnds::Kept).unwrap().read_to_string(&mut kept).unwrap();
    assert_eq!(kept, "a\r\nb\rc");
}

#[test]
fn a_long_text_is_decoded_in_pieces() {
    let long: String = (0..60_000).map(|line| format!("{line} 中😀é\n")).collect();
    for bytes in [long.clone().into_bytes(), utf_16(&long, false, true), utf_16(&long, true, false)] {
        let reader = open(file_of(&bytes).path(), "file", LineEnds::Unified).unwrap();
        let lines: Vec<String> = reader.lines().map(Result::unwrap).collect();
        assert_eq!(lines.len(), 60_000);
        assert_eq!(lines[59_999], "59999 中😀é");
    }
}

#[test]
fn bytes_that_are_not_text_are_reported_with_their_place() {
    let told = |bytes: &[u8]| decode(bytes, "the names file x").unwrap_err().report();
    let latin = told(b"left-pad\nreact\ncaf\xe9\n");
    assert!(latin.contains("the names file x is not text in UTF-8: line 3"), "{latin}");
    assert!(latin.contains("byte 18") && latin.contains("iconv"), "{latin}");
    let mut long = vec![b'\n'; 200_000];
    long.push(0xff);
    let far = told(&long);
    assert!(far.contains("line 200001") && far.contains("byte 200000"), "{far}");
    // A byte is missing at the end of UTF-16, and a surrogate has no partner.
    let mut cut = utf_16("ab", false, true);
    cut.pop();
    assert!(told(&cut).contains("UTF-16LE"), "{}", told(&cut));
    assert!(told(&[0xff, 0xfe, 0x00, 0xd8, b'a', 0]).contains("UTF-16LE"));
    for utf_32 in [&[0xff, 0xfe, 0, 0, b'a', 0, 0, 0][..], &[0, 0, 0xfe, 0xff, 0, 0, 0, b'a'], &[b'a', 0, 0, 0, b'b']] {
        assert!(told(utf_32).contains("UTF-32"), "{}", told(utf_32));
    }
}

#[test]
fn a_missing_file_a_folder_and_cut_compression_are_told_apart() {
    let folder = tempfile::tempdir().unwrap();
    let told = |path: &Path| read(path, "names file", 100).unwrap_err();
    let missing = told(&folder.path().join("x"));
    assert!(missing.message().starts_with("there is no names file"), "{}", missing.report());
    assert!(told(folder.path()).message().ends_with("is a folder"));
    assert!(told(file_of(&[b'a'; 101]).path()).message().ends_with("is too long"));
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gzip.write_all(&[b'a'; 90]).unwrap();
    let gzip = gzip.finish().unwrap();
    let zstd = zstd::encode_all(&[b'a'; 90][..], 1).unwrap();
    for (bytes, form) in [(gzip, "gzip"), (zstd, "zstd")] {
        for kept in [5, bytes.len() / 2, bytes.len() - 1] {
            let error = told(file_of(&bytes[..kept]).path());
            assert!(error.message().contains(&format!("is not whole: its {form} data")), "{}", error.report());
            assert_eq!(error.kind(), ErrorKind::Input);
        }
    }
}
