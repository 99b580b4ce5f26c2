use super::*;

fn element(kind: u8, name: &str, value: &[u8]) -> Vec<u8> {
    [&[kind], name.as_bytes(), &[0], value].concat()
}

fn document(elements: &[Vec<u8>]) -> Vec<u8> {
    let body = elements.concat();
    [&(body.len() as i32 + 5).to_le_bytes()[..], &body, &[0]].concat()
}

fn reply(rows: &[Vec<u8>], cursor: i64) -> Vec<u8> {
    let numbered: Vec<_> = rows.iter().enumerate().map(|(at, row)| element(3, &at.to_string(), row)).collect();
    let inner = document(&[element(4, "firstBatch", &document(&numbered)), element(0x12, "id", &cursor.to_le_bytes())]);
    document(&[element(3, "cursor", &inner), element(1, "ok", &1f64.to_le_bytes())])
}

fn spec(kind: u8, name: &str, children: &[Vec<u8>]) -> Vec<u8> {
    let lengths = ((name.len() as u16).to_le_bytes(), (children.len() as u16).to_le_bytes());
    [&[kind, 0], &lengths.0[..], name.as_bytes(), &lengths.1[..], &children.concat()].concat()
}

fn decoder() -> Decoder {
    let tags = spec(11, "tags", &[spec(6, "", &[])]);
    let sub = spec(10, "sub", &[spec(2, "a", &[]), spec(6, "b", &[])]);
    Decoder::new(&spec(10, "", &[spec(2, "n", &[]), spec(6, "t", &[]), sub, tags, spec(0, "j", &[])])).unwrap()
}

fn sample() -> Vec<u8> {
    let text = |value: &str| [&(value.len() as i32 + 1).to_le_bytes()[..], value.as_bytes(), &[0]].concat();
    let one = document(&[
        element(0x10, "n", &7i32.to_le_bytes()),
        element(2, "t", &text("é\"")),
        element(3, "sub", &document(&[element(2, "b", &text("x")), element(0x10, "a", &1i32.to_le_bytes())])),
        element(4, "tags", &document(&[element(2, "0", &text("p")), element(0x0a, "1", &[])])),
        element(3, "j", &document(&[element(2, "k", &text("a\nb")), element(9, "d", &1500i64.to_le_bytes())])),
    ]);
    let two = document(&[element(2, "n", &text("no number")), element(7, "j", &[0xab; 12])]);
    reply(&[one, two, document(&[])], 9)
}

fn text_of(node: &Node) -> Vec<String> {
    let text = match &node.values {
        Values::Text(text) | Values::Json(text) => text,
        _ => panic!("no text"),
    };
    let spans = text.offsets.windows(2);
    spans.map(|pair| String::from_utf8(text.data[pair[0] as usize..pair[1] as usize].to_vec()).unwrap()).collect()
}

#[test]
fn documents_become_columns_with_missing_ones_null_and_others_counted() {
    let mut decoder = decoder();
    assert_eq!(decoder.reply(&sample()), Ok(Reply { rows: 3, cursor: 9 }));
    let n = decoder.root.nth(1).unwrap();
    assert!(matches!(&n.values, Values::Int32(values) if values == &[7, 0, 0]));
    assert_eq!((n.bits.as_slice(), n.nulls, n.lost), (&[1][..], 2, 1));
    assert_eq!(text_of(decoder.root.nth(2).unwrap()), ["é\"", "", ""]);
    let sub = decoder.root.nth(3).unwrap();
    assert_eq!((sub.rows, sub.nulls, sub.lost), (3, 2, 0));
    let tags = decoder.root.nth(6).unwrap();
    assert!(matches!(&tags.values, Values::List(offsets, child) if offsets == &[0, 2, 2, 2] && child.nulls == 1));
    let json = text_of(decoder.root.nth(8).unwrap());
    assert_eq!(json[0], r#"{"k":"a\nb","d":{"$date":"1970-01-01T00:00:01.500Z"}}"#);
    assert_eq!(json[1], r#"{"$oid":"abababababababababababab"}"#);
    assert!(decoder.root.nth(9).is_none());
}

#[test]
fn every_cut_and_every_changed_byte_is_an_error_or_rows() {
    let whole = sample();
    for end in 0..whole.len() {
        assert!(decoder().reply(&whole[..end]).is_err(), "cut at {end}");
    }
    for at in 0..whole.len() {
        for value in [0, 1, 2, 4, 0x0f, 0x7f, 0x80, 0xff, whole[at] ^ 1] {
            let mut changed = whole.clone();
            changed[at] = value;
            let mut decoder = decoder();
            if let Ok(reply) = decoder.reply(&changed) {
                assert_eq!(decoder.root.rows, reply.rows);
                assert!((1..=8).all(|index| index == 7 || decoder.root.nth(index).is_some()));
            }
        }
    }
}

#[test]
fn a_tree_that_is_none_is_refused() {
    assert!(Decoder::new(&[]).is_none());
    assert!(Decoder::new(&spec(2, "", &[])).is_none());
    assert!(Decoder::new(&spec(10, "", &[spec(99, "x", &[])])).is_none());
    let mut deep = spec(2, "x", &[]);
    for _ in 0..80 {
        deep = spec(10, "d", &[deep]);
    }
    assert!(Decoder::new(&deep).is_none());
}

#[test]
fn decimals_have_the_text_of_their_specification() {
    let shown = |bits: u128| {
        let mut out = vec![];
        json::decimal(bits.to_le_bytes(), &mut out);
        String::from_utf8(out).unwrap()
    };
    let of = |digits: u128, exponent: i32| digits | ((exponent + 6176) as u128) << 113;
    assert_eq!(shown(of(12345, -2)), "123.45");
    assert_eq!(shown(of(5, -3)), "0.005");
    assert_eq!(shown(of(0, 0) | 1 << 127), "-0");
    assert_eq!(shown(of(1, 3)), "1E+3");
    assert_eq!(shown(of(15, -10)), "1.5E-9");
    assert_eq!(shown(0b11110 << 122), "Infinity");
    assert_eq!(shown(0b11111 << 122), "NaN");
    assert_eq!(shown(of(10u128.pow(34) - 1, 0)), "9999999999999999999999999999999999");
}
