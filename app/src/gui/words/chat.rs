//! Words of conversations: messages, how far a reply is, and how it is written.

use super::words;

words! {
    message: "Message", "消息";
    write_message: "Write a message", "输入消息";
    send: "Send", "发送";
    stop: "Stop", "停止";
    regenerate: "Write again", "重新生成";
    edit: "Edit message", "编辑消息";
    send_edit: "Send as another version", "作为新版本发送";
    edit_tip: "Becomes another version; the first is kept.", "将成为新的版本；原来的版本会保留。";
    copy_reply: "Copy reply", "复制回复";
    copy_message: "Copy message", "复制消息";
    copy_code: "Copy code", "复制代码";
    copied: "Copied", "已复制";
    delete_message: "Delete from here", "从这里删除";
    messages_deleted(count: usize): "{count} messages deleted", "已删除 {count} 条消息";
    next_version: "Next version", "下一个版本";
    previous_version: "Previous version", "上一个版本";
    to_end: "To the end", "到最后";

    welcome: "What shall we talk about?", "想聊点什么？";
    welcome_without_model: "Choose a model to begin.", "先选择一个模型。";
    welcome_loading(name: &str): "{name} is being loaded; you can write already.", "正在加载 {name}；现在就可以开始输入。";
    welcome_with(name: &str, device: &str): "{name} is ready on {device}.", "{name} 已在 {device} 上就绪。";
    guide_suggestion_1: "Tell me a story about a fox.", "Tell me a story about a fox.";
    guide_suggestion_2: "What is int8?", "What is int8?";
    guide_suggestion_3: "How do I add a model?", "How do I add a model?";
    suggestion_1: "Explain what a large language model is in three sentences.", "用三句话解释什么是大语言模型。";
    suggestion_2: "Write a function in Rust that reverses the words of a sentence.", "用 Rust 写一个把句子中的单词倒序的函数。";
    suggestion_3: "Make a table of five trees and how old they can become.", "列一张表：五种树以及它们能活多久。";

    waiting: "Waiting", "等待中";
    reading(done: usize, total: usize): "Reading the conversation: {done} of {total} tokens", "正在读取对话：{done} / {total} 个词元";
    reading_progress: "Prompt read", "已读取的提示";
    about_to_go(seconds: u64): ", about {seconds} s to go", "，约还需 {seconds} 秒";
    restoring: "The device was lost; the model is being loaded again", "设备已丢失，正在重新加载模型";
    thinking: "Thinking", "思考中";
    thoughts: "Thoughts", "思考过程";
    thought_for(seconds: f64): "Thought for {seconds:.1} s", "思考了 {seconds:.1} 秒";
    interrupted: "The program ended while this was written.", "程序在写到这里时结束了。";
    cut_off: "Cut off here: the reply was as long as it may be, or the context is full.", "在此截断：回复已达长度上限，或上下文已满。";
    stopped: "Stopped before anything was written.", "在写出内容之前已停止。";
    reply_failed: "This could not be written on", "无法继续生成";
    reply_failed_advice: "What is written is kept. Write it again, or choose another device or model first.", "已写的内容会保留。可以重新生成，或先更换设备或模型。";
    no_model_to_send: "Choose a model first; what you typed stays.", "请先选择模型；输入的内容会保留。";

    tokens(count: usize): "{count} tokens", "{count} 个词元";
    rate(rate: f64): "{rate:.1} tokens/s", "{rate:.1} 词元/秒";
    first_token(seconds: f64): "First token after {seconds:.2} s", "{seconds:.2} 秒后出现首个词元";
    prompt_of(count: usize, reused: usize): "Prompt of {count} tokens, {reused} of them from the cache", "提示共 {count} 个词元，其中 {reused} 个来自缓存";
    prompt_rate(rate: f64): "Prompt read at {rate:.0} tokens/s", "提示读取速度 {rate:.0} 词元/秒";
    seed_of(seed: u64): "Seed {seed}", "种子 {seed}";
    formats(weights: &str, cache: &str): "Weights {weights}, cache {cache}", "权重 {weights}，缓存 {cache}";
    context_used(used: usize, context: usize): "{used} of {context} tokens", "{used} / {context} 个词元";
    context_tip: "How much of the context this conversation uses. When it is full, the oldest messages are no longer shown to the model; they are greyed.", "这段对话占用了多少上下文。占满后，最早的消息不再提供给模型，并显示为灰色。";

    writing: "Writing", "生成";
    system_prompt: "System prompt", "系统提示";
    system_prompt_hint: "What the model is told before the conversation", "在对话之前告诉模型的内容";
    presets: "Presets", "预设";
    preset_name: "Name of a preset", "预设名称";
    preset_saved(name: &str): "Saved as “{name}”", "已保存为“{name}”";
    apply_preset: "Use its system prompt and numbers here", "在这里使用它的系统提示和参数";
    delete_preset(name: &str): "Delete preset {name}", "删除预设 {name}";
    temperature: "Temperature", "温度";
    temperature_tip: "How freely tokens are drawn; 0 always takes the most likely one.", "选取词元的自由程度；0 表示总取最可能的一个。";
    top_k: "Top-k", "Top-k";
    top_k_tip: "Draws from so many of the most likely tokens; 0 is all.", "只从最可能的若干个词元中选取；0 表示全部。";
    top_p: "Top-p", "Top-p";
    top_p_tip: "Draws from the most likely tokens whose probabilities reach this sum.", "从概率之和达到此值的最可能词元中选取。";
    min_p: "Min-p", "Min-p";
    min_p_tip: "Leaves out tokens less likely than this share of the most likely one.", "舍去概率低于最可能者此比例的词元。";
    repeat_penalty: "Repetition penalty", "重复惩罚";
    repeat_penalty_tip: "Divides the logits of recent tokens by this; 1 is off.", "将近期词元的 logit 除以此值；1 表示关闭。";
    presence_penalty: "Presence penalty", "出现惩罚";
    presence_penalty_tip: "Subtracted from the logits of recent tokens.", "从近期词元的 logit 中减去。";
    frequency_penalty: "Frequency penalty", "频率惩罚";
    frequency_penalty_tip: "Subtracted for each time that a recent token occurs.", "近期词元每出现一次就减去一次。";
    fixed_seed: "Fixed seed", "固定种子";
    fixed_seed_tip: "The same seed draws the same tokens; else each reply has its own.", "相同的种子得到相同的词元；否则每条回复各用一个。";
    seed: "Seed", "种子";
    limit_length: "Limit the length of replies", "限制回复长度";
    limit_length_tip: "A reply ends after so many tokens.", "回复写到这么多词元就结束。";
    longest_reply: "Most tokens of a reply", "回复的最大词元数";
    suggested: "as suggested", "按建议";
    reset_value(name: &str): "{name} as suggested", "将{name}恢复为建议值";
    as_makers_suggest: "All as the model's makers suggest", "全部采用模型作者的建议";
}
