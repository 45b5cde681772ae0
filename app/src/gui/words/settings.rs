//! Words of the settings.

use super::words;

words! {
    kept_in(file: &str): "Conversations are kept in {file}.", "对话保存在 {file}。";
    not_kept(why: &str): "Conversations are not kept: {why}.", "对话不会保存：{why}。";
    looks: "Looks", "外观";
    theme_label: "Colours", "配色";
    language_label: "Language", "语言";
    size_label: "Size", "大小";
    typing: "Typing", "输入";
    enter_sends: "Enter sends, Shift+Enter begins a new line", "按 Enter 发送，按 Shift+Enter 换行";
    keys: "Keys", "快捷键";
    about: "About", "关于";
    about_words(version: &str): "Inglenook {version}: chat by your own fire. All of it happens on this machine.", "Inglenook {version}：守着自己的炉火聊天。一切都在这台机器上完成。";
    about_fonts: "Text is set in Inter, under the SIL Open Font License 1.1.", "文字使用 Inter 字体，遵循 SIL Open Font License 1.1。";
}
