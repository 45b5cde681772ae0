//! Any bytes as `tokenizer.json`: they are refused, or texts are encoded and decoded with it. What comes after
//! the first NUL is one of the texts.
#![no_main]

use ingle_models::text::{SpecialText, Tokenizer};
use libfuzzer_sys::fuzz_target;

/// The library under the tokenizer panics on some files, which is caught and told as an error; the fuzzer's own
/// hook would take each of these for a find. One that nobody catches still ends the process.
fn let_panics_be_caught() {
    std::panic::set_hook(Box::new(|panic| {
        if std::env::var_os("FUZZ_SHOW_PANICS").is_some() {
            eprintln!("{panic}\n{}", std::backtrace::Backtrace::force_capture());
        }
    }));
}

fuzz_target!(init: let_panics_be_caught(), |bytes: &[u8]| {
    let end = bytes.iter().position(|byte| *byte == 0);
    let (file, text) = end.map_or((bytes, &b""[..]), |end| (&bytes[..end], &bytes[end + 1..]));
    let Ok(tokenizer) = Tokenizer::from_json(file) else { return };
    let text = String::from_utf8_lossy(text);
    for text in [&*text, "Hello, W\u{f6}rld 12\u{3000}\u{1f525}<s></s>\n"] {
        for special in [false, true] {
            let (Ok(ids), Ok(prompt)) =
                (tokenizer.encode_text(text, special), tokenizer.encode_prompt(text, special))
            else {
                continue;
            };
            for ids in [ids, prompt] {
                let _ = tokenizer.decode(&ids, SpecialText::Skip);
                let mut decoder = tokenizer.stream_decoder(SpecialText::Keep);
                let mut streamed: String = ids.iter().map(|id| decoder.push(*id)).collect();
                streamed += &decoder.finish();
                assert_eq!(streamed, tokenizer.decode(&ids, SpecialText::Keep));
                assert!(ids.iter().all(|id| *id <= tokenizer.largest_id()));
            }
        }
    }
    for id in [0, 1, tokenizer.largest_id(), u32::MAX] {
        let _ = (tokenizer.token(id), tokenizer.token_text(id), tokenizer.is_special(id));
    }
    let _ = (tokenizer.bos(), tokenizer.eos(), tokenizer.added_tokens().count());
});
