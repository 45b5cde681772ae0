//! Colours for code: a lexer that knows words, strings, numbers and comments of common languages.
//!
//! It is our own since a reply grows word by word: the lexer goes on from where it was with one small value ([`Carry`]), needs no
//! table to be read at the start and no regular expression to be compiled while a frame is drawn.

use egui::Color32;

use crate::gui::theme::Tokens;

/// What is still open at the end of a piece of code.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Carry {
    #[default]
    Nothing,
    Comment,
    /// A string over several lines, by its mark.
    Text(&'static str),
}

/// The kind of a word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Plain,
    Keyword,
    Text,
    Number,
    Comment,
    Function,
    Type,
}

impl Kind {
    pub(super) const fn color(self, tokens: &Tokens) -> Color32 {
        match self {
            Self::Plain => tokens.text,
            Self::Keyword => tokens.code_keyword,
            Self::Text => tokens.code_string,
            Self::Number => tokens.code_number,
            Self::Comment => tokens.code_comment,
            Self::Function => tokens.code_function,
            Self::Type => tokens.code_type,
        }
    }
}

/// What is special in a language.
struct Grammar {
    keywords: &'static str,
    line_comments: &'static [&'static str],
    block_comment: Option<(&'static str, &'static str)>,
    /// Marks of strings that may go over several lines; the longest first.
    long_texts: &'static [&'static str],
    /// Marks of strings that end with their line.
    texts: &'static [char],
    /// Names that begin with a capital are types.
    types: bool,
    /// Case does not matter.
    any_case: bool,
}

const C_LIKE: Grammar = Grammar {
    keywords: "",
    line_comments: &["//"],
    block_comment: Some(("/*", "*/")),
    long_texts: &[],
    texts: &['"', '\''],
    types: true,
    any_case: false,
};

const RUST: Grammar = Grammar {
    keywords: "as async await break const continue crate dyn else enum extern false fn for if impl in let loop match mod move \
               mut pub ref return self Self static struct super trait true type unsafe use where while bool char f32 f64 i8 \
               i16 i32 i64 i128 isize str u8 u16 u32 u64 u128 usize",
    texts: &['"'],
    ..C_LIKE
};

const C: Grammar = Grammar {
    keywords: "auto bool break case catch char class const constexpr continue default delete do double else enum explicit \
               extern false final float for friend goto if import inline int interface internal long namespace new null \
               nullptr operator override package private protected public readonly return short signed sizeof static struct \
               super switch synchronized template this throw throws true try typedef typename uint union unsigned using var \
               virtual void volatile while fun val when is in object data sealed let func guard defer string",
    ..C_LIKE
};

const GO: Grammar = Grammar {
    keywords: "break case chan const continue default defer else fallthrough for func go goto if import interface map package \
               range return select struct switch type var nil true false string int int64 float64 bool byte error rune",
    long_texts: &["`"],
    ..C_LIKE
};

const JAVASCRIPT: Grammar = Grammar {
    keywords: "abstract any as async await boolean break case catch class const continue default delete do else enum export \
               extends false finally for from function if implements import in instanceof interface keyof let new null number \
               of private protected public readonly return static string super switch this throw true try type typeof \
               undefined var void while yield",
    long_texts: &["`"],
    ..C_LIKE
};

const PYTHON: Grammar = Grammar {
    keywords: "and as assert async await break case class continue def del elif else except False finally for from global if \
               import in is lambda match None nonlocal not or pass raise return self True try while with yield",
    line_comments: &["#"],
    block_comment: None,
    long_texts: &["\"\"\"", "'''"],
    ..C_LIKE
};

const SHELL: Grammar = Grammar {
    keywords: "if then else elif fi for while until do done case esac function in return export local sudo echo cd set source \
               exit",
    types: false,
    ..PYTHON
};

const SQL: Grammar = Grammar {
    keywords: "select from where and or not insert into values update set delete create table alter drop index view join left \
               right inner outer full on as group by order having limit offset union all distinct null primary key foreign \
               references default unique check case when then else end is in like between exists with int integer text varchar \
               boolean date timestamp real",
    line_comments: &["--"],
    types: false,
    any_case: true,
    ..C_LIKE
};

const CONFIG: Grammar = Grammar {
    keywords: "true false null yes no on off",
    line_comments: &["#"],
    block_comment: None,
    types: false,
    ..C_LIKE
};

const JSON: Grammar = Grammar { line_comments: &["//"], ..CONFIG };

const MARKUP: Grammar = Grammar {
    keywords: "",
    line_comments: &[],
    block_comment: Some(("<!--", "-->")),
    types: false,
    ..C_LIKE
};

const CSS: Grammar = Grammar { line_comments: &[], types: false, ..C_LIKE };

const LUA: Grammar = Grammar {
    keywords: "and break do else elseif end false for function goto if in local nil not or repeat return then true until while \
               module where data instance case of import let",
    line_comments: &["--"],
    block_comment: None,
    ..C_LIKE
};

fn grammar(language: &str) -> Option<&'static Grammar> {
    Some(match language.to_ascii_lowercase().as_str() {
        "rust" | "rs" => &RUST,
        "c" | "cpp" | "c++" | "h" | "hpp" | "java" | "csharp" | "cs" | "c#" | "kotlin" | "kt" | "swift"
        | "dart" | "scala" | "php" | "cuda" | "wgsl" | "glsl" | "hlsl" => &C,
        "go" | "golang" => &GO,
        "javascript" | "js" | "jsx" | "typescript" | "ts" | "tsx" => &JAVASCRIPT,
        "python" | "py" | "ruby" | "rb" => &PYTHON,
        "bash" | "sh" | "shell" | "zsh" | "console" | "fish" | "dockerfile" | "makefile" => &SHELL,
        "sql" | "sqlite" | "postgresql" => &SQL,
        "toml" | "yaml" | "yml" | "ini" => &CONFIG,
        "json" | "jsonc" | "json5" => &JSON,
        "html" | "xml" | "svg" => &MARKUP,
        "css" | "scss" => &CSS,
        "lua" | "haskell" | "hs" => &LUA,
        _ => return None,
    })
}

/// Tells the kinds of words of a piece of code, in order; says what is open at its end.
pub(super) fn words<'a>(
    language: &str,
    text: &'a str,
    carry: Carry,
    mut tell: impl FnMut(&'a str, Kind),
) -> Carry {
    let Some(grammar) = grammar(language) else {
        tell(text, Kind::Plain);
        return Carry::Nothing;
    };
    let mut lexer = Lexer { grammar, rest: text, carry };
    while !lexer.rest.is_empty() {
        let (word, kind) = lexer.next();
        tell(word, kind);
    }
    lexer.carry
}

struct Lexer<'a> {
    grammar: &'static Grammar,
    rest: &'a str,
    carry: Carry,
}

impl<'a> Lexer<'a> {
    /// Takes the next word: never an empty one.
    fn next(&mut self) -> (&'a str, Kind) {
        match self.carry {
            Carry::Comment => {
                let end = self.grammar.block_comment.map_or("", |(_, end)| end);
                return (self.until(end), Kind::Comment);
            }
            Carry::Text(mark) => return (self.until(mark), Kind::Text),
            Carry::Nothing => {}
        }
        let grammar = self.grammar;
        if grammar.line_comments.iter().any(|mark| self.rest.starts_with(mark)) {
            let end = self.rest.find('\n').unwrap_or(self.rest.len());
            return (self.take(end), Kind::Comment);
        }
        if let Some((start, end)) = grammar.block_comment
            && self.rest.starts_with(start)
        {
            self.carry = Carry::Comment;
            return (self.long(start, end), Kind::Comment);
        }
        if let Some(mark) = grammar.long_texts.iter().find(|mark| self.rest.starts_with(**mark)) {
            self.carry = Carry::Text(mark);
            return (self.long(mark, mark), Kind::Text);
        }
        let first = self.rest.chars().next().unwrap_or(' ');
        if grammar.texts.contains(&first) {
            return (self.text(first), Kind::Text);
        }
        if first.is_ascii_digit() {
            let end = self.rest.find(|c: char| !(c.is_alphanumeric() || c == '_' || c == '.'));
            return (self.take(end.unwrap_or(self.rest.len())), Kind::Number);
        }
        if is_word(first) {
            let end = self.rest.find(|c: char| !is_word(c) && !c.is_ascii_digit());
            let word = self.take(end.unwrap_or(self.rest.len()));
            return (word, self.kind(word));
        }
        let grammar = self.grammar;
        let special = |(at, c): (usize, char)| {
            let here = &self.rest[at..];
            is_word(c)
                || c.is_ascii_digit()
                || grammar.texts.contains(&c)
                || grammar.line_comments.iter().chain(grammar.long_texts).any(|mark| here.starts_with(mark))
                || grammar.block_comment.is_some_and(|(start, _)| here.starts_with(start))
        };
        let end = self.rest.char_indices().skip(1).find(|place| special(*place)).map(|(at, _)| at);
        (self.take(end.unwrap_or(self.rest.len())), Kind::Plain)
    }

    fn kind(&self, word: &str) -> Kind {
        let same = |keyword: &str| {
            if self.grammar.any_case { keyword.eq_ignore_ascii_case(word) } else { keyword == word }
        };
        if self.grammar.keywords.split_ascii_whitespace().any(same) {
            Kind::Keyword
        } else if self.rest.starts_with('(') || self.rest.starts_with("!(") {
            Kind::Function
        } else if self.grammar.types && word.starts_with(|c: char| c.is_uppercase()) {
            Kind::Type
        } else {
            Kind::Plain
        }
    }

    fn take(&mut self, bytes: usize) -> &'a str {
        let (word, rest) = self.rest.split_at(bytes);
        self.rest = rest;
        word
    }

    /// Takes all up to the end of what is open, or all there is.
    fn until(&mut self, mark: &str) -> &'a str {
        let end = if mark.is_empty() { None } else { self.rest.find(mark) };
        if let Some(at) = end {
            self.carry = Carry::Nothing;
            return self.take(at + mark.len());
        }
        self.take(self.rest.len())
    }

    /// Takes what has just begun, up to its end.
    fn long(&mut self, start: &str, end: &str) -> &'a str {
        let whole = self.rest;
        self.take(start.len());
        self.until(end);
        &whole[..whole.len() - self.rest.len()]
    }

    /// Takes a string that ends with its line at the latest.
    fn text(&mut self, mark: char) -> &'a str {
        let mut escaped = false;
        for (at, c) in self.rest.char_indices().skip(1) {
            match c {
                '\n' => return self.take(at),
                _ if escaped => escaped = false,
                '\\' => escaped = true,
                c if c == mark => return self.take(at + c.len_utf8()),
                _ => {}
            }
        }
        self.take(self.rest.len())
    }
}

fn is_word(c: char) -> bool {
    c.is_alphabetic() || c == '_'
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kinds(language: &str, text: &str, carry: Carry) -> (Vec<(String, Kind)>, Carry) {
        let mut list: Vec<(String, Kind)> = vec![];
        let carry = words(language, text, carry, |word, kind| {
            if kind != Kind::Plain {
                list.push((word.to_owned(), kind));
            }
        });
        (list, carry)
    }

    #[test]
    fn words_have_kinds() {
        let line = "fn main() { let x: Vec<u8> = f(\"a\\\"b\", 12); } // end";
        let (list, carry) = kinds("rust", line, Carry::Nothing);
        let found: Vec<_> = list.iter().map(|(word, kind)| (word.as_str(), *kind)).collect();
        assert_eq!(
            found,
            [
                ("fn", Kind::Keyword),
                ("main", Kind::Function),
                ("let", Kind::Keyword),
                ("Vec", Kind::Type),
                ("u8", Kind::Keyword),
                ("f", Kind::Function),
                ("\"a\\\"b\"", Kind::Text),
                ("12", Kind::Number),
                ("// end", Kind::Comment),
            ]
        );
        assert_eq!(carry, Carry::Nothing);
        assert_eq!(kinds("sql", "SELECT 1", Carry::Nothing).0[0].1, Kind::Keyword);
        assert!(kinds("unheard of", "fn", Carry::Nothing).0.is_empty());
    }

    #[test]
    fn what_is_open_goes_on() {
        let (_, carry) = kinds("python", "x = \"\"\"begins", Carry::Nothing);
        assert_eq!(carry, Carry::Text("\"\"\""));
        let (list, carry) = kinds("python", "ends\"\"\" # c", carry);
        assert_eq!(list[0], ("ends\"\"\"".to_owned(), Kind::Text));
        assert_eq!(list[1].1, Kind::Comment);
        assert_eq!(carry, Carry::Nothing);
        assert_eq!(kinds("c", "/* a", Carry::Nothing).1, Carry::Comment);
    }

    #[test]
    fn nothing_is_lost_whatever_is_written() {
        let odd = "\"unclosed\n'字 `x` é /* */ /*/ ''' \\ 1.5e3_a <b/> -- # $";
        for language in ["rust", "c", "go", "js", "py", "sh", "sql", "toml", "json", "html", "css", "lua", ""]
        {
            let mut whole = String::new();
            words(language, odd, Carry::Nothing, |word, _| whole.push_str(word));
            assert_eq!(whole, odd, "{language}");
        }
    }
}
