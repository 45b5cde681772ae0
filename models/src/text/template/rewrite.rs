//! What is changed in a template's source before it is compiled.

/// Makes line ends `\n`, as Jinja does, and turns `{% generation %}` … `{% endgeneration %}`, by which the
/// Python library finds what the assistant wrote, into a scope with the same content. Lines keep their numbers.
pub(super) fn prepare(source: &str) -> String {
    let source = source.replace("\r\n", "\n").replace('\r', "\n");
    let mut out = String::with_capacity(source.len());
    let mut rest = source.as_str();
    while let Some(at) = rest.find('{') {
        let (before, tag) = rest.split_at(at);
        out.push_str(before);
        let end = match tag.as_bytes().get(1) {
            Some(b'#') => tag.find("#}").map_or(tag.len(), |end| end + 2),
            Some(b'{') => tag_end(tag, "}}"),
            Some(b'%') => {
                let end = tag_end(tag, "%}");
                let (whole, after) = tag.split_at(end);
                let raw = block_name(whole) == Some("raw");
                out.push_str(&rename(whole));
                let skipped = if raw { end_of_raw(after) } else { 0 };
                out.push_str(&after[..skipped]);
                rest = &after[skipped..];
                continue;
            }
            _ => 1,
        };
        out.push_str(&tag[..end]);
        rest = &tag[end..];
    }
    out.push_str(rest);
    out
}

/// Where the tag that `text` begins with ends, strings in it skipped; the end of the text if it does not.
fn tag_end(text: &str, close: &str) -> usize {
    let mut quote = None;
    let mut escaped = false;
    for (at, character) in text.char_indices().skip(2) {
        match quote {
            Some(_) if escaped => escaped = false,
            Some(_) if character == '\\' => escaped = true,
            Some(open) if character == open => quote = None,
            None if character == '\'' || character == '"' => quote = Some(character),
            None if text[at..].starts_with(close) => return at + close.len(),
            Some(_) | None => {}
        }
    }
    text.len()
}

/// The part of a block tag before its name, with any `-` or `+`.
fn block_start(tag: &str) -> usize {
    let inside = &tag[2..];
    let inside = inside.strip_prefix(['-', '+']).unwrap_or(inside).trim_start();
    tag.len() - inside.len()
}

fn block_name(tag: &str) -> Option<&str> {
    let inside = &tag[block_start(tag)..];
    inside.split(|c: char| !c.is_alphanumeric() && c != '_').next()
}

fn rename(tag: &str) -> String {
    let (old, new) = match block_name(tag) {
        Some(old @ "generation") => (old, "with"),
        Some(old @ "endgeneration") => (old, "endwith"),
        _ => return tag.to_owned(),
    };
    let start = block_start(tag);
    format!("{}{new}{}", &tag[..start], &tag[start + old.len()..])
}

/// Where the `{% endraw %}` in `text` begins.
fn end_of_raw(text: &str) -> usize {
    let tags = text.match_indices("{%").map(|(at, _)| at);
    let mut ends = tags.filter(|at| block_name(&text[*at..]) == Some("endraw"));
    ends.next().unwrap_or(text.len())
}

#[cfg(test)]
mod tests {
    use super::prepare;

    #[test]
    fn generation_blocks_become_scopes() {
        let source =
            "{%- generation -%}\r\n{{ '{% generation %}' }}{# {% generation %} #}{%+ endgeneration %}";
        let expected = "{%- with -%}\n{{ '{% generation %}' }}{# {% generation %} #}{%+ endwith %}";
        assert_eq!(prepare(source), expected);
    }

    #[test]
    fn raw_blocks_and_broken_tags_stay_as_they_are() {
        for source in
            ["{% raw %}{% generation %}{% endraw %}", "{% generation", "{{ 'a", "{#", "{", "{%", "{%-"]
        {
            let expected = if source == "{% generation" { "{% with" } else { source };
            assert_eq!(prepare(source), expected);
        }
    }
}
