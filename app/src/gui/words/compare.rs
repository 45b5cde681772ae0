//! Words of the page that compares.

use super::words;

words! {
    view_compare: "Compare", "比较";
    compare_intro: "The same model and the same prompt on several devices and in several formats, one after another: the same seed, a run to warm up that does not count, and nothing else beside it.",
        "同一个模型、同一个提示，在多个设备和多种格式上依次运行：相同的随机种子，先预热一次（不计入结果），期间不运行其他任务。";
    compare_fair: "One after another, fairly", "依次运行，公平比较";
    beside_for_show: "Side by side, for show", "同时运行，仅供观看";
    beside_intro: "The same model and the same prompt on several devices and in several formats, all at once. It is something to look at; to measure, let them run one after another.",
        "同一个模型、同一个提示，在多个设备和多种格式上同时运行。仅供观看；要测量速度，请依次运行。";
    beside: "Side by side", "并排";
    beside_unfair: "These speeds are not fair: all of them share this machine's processor, memory and bus while they write.",
        "这些速度并不公平：它们在生成时共用本机的处理器、内存和总线。";
    beside_start(count: usize): "Let {count} write", "让 {count} 项同时生成";
    beside_stop: "Stop all", "全部停止";
    beside_under_way: "They write side by side.", "正在同时生成。";
    beside_waiting: "waits for its turn to be loaded", "等待加载";
    beside_ready: "loaded; waits for the others", "已加载，等待其他项";
    beside_rate(rate: &str): "{rate} tokens/s", "{rate} 词元/秒";
    beside_finished: "finished", "已完成";
    beside_cut_off: "at the length that was asked for", "已达到设定长度";
    beside_stopped: "stopped", "已停止";
    beside_failed(reason: &str): "It does not take part: {reason}", "未参加：{reason}";
    compare_no_model: "Open a model first; it is the one that is compared.", "请先打开一个模型，它就是要比较的模型。";
    compare_devices: "Devices", "设备";
    compare_weights: "Weights", "权重";
    compare_cache: "Cache", "缓存";
    compare_stored: "as stored", "按文件原样";
    compare_prompt: "Prompt", "提示";
    compare_first_prompt: "Tell me about the sea in a few sentences.", "用几句话说说大海。";
    compare_tokens: "Tokens to write", "生成词元数";
    compare_runs: "Runs that count", "计入结果的次数";
    compare_start(count: usize): "Compare {count}", "比较 {count} 项";
    compare_stop: "Stop comparing", "停止比较";
    compare_nothing_chosen: "Choose a device, a weight format and a cache format at least.", "请至少选择一个设备、一种权重格式和一种缓存格式。";
    compare_busy: "A reply is being written; it would disturb the measurement.", "正在生成回复，会干扰测量。";
    compare_under_way(name: &str, doing: &str): "{name}: {doing}", "{name}：{doing}";
    compare_loading: "loading", "正在加载";
    compare_peaks: "measuring the device", "正在测量设备";
    compare_warming: "warming up", "正在预热";
    compare_run(run: usize): "run {run}", "第 {run} 次运行";
    compare_profiling: "timing operators", "正在为各算子计时";
    compare_agreeing: "reading the reference", "正在读取参考文本";
    compare_failed(reason: &str): "The comparison could not begin: {reason}", "无法开始比较：{reason}";
    compare_cut_short: "It was stopped; what was measured before is shown.", "已停止，显示的是此前测得的结果。";

    compare_done(prompt: usize, tokens: usize, runs: usize): "Prompt of {prompt} tokens; {tokens} written in each run, after one to warm up {runs} counted. Medians, ± half the distance between the largest and the smallest.",
        "提示 {prompt} 个词元；每次运行生成 {tokens} 个词元，预热后共 {runs} 次。数值为中位数，± 为最大值与最小值之差的一半。";

    compare_speed: "Speed and memory", "速度与内存";
    compare_contestant: "Contestant", "参与者";
    compare_first_token: "First token", "首个词元";
    compare_prefill: "Prompt, tokens/s", "读取提示，词元/秒";
    compare_decode: "Writing, tokens/s", "生成，词元/秒";
    compare_bytes: "MB per token", "每词元 MB";
    compare_share: "Of the device's bandwidth", "占设备带宽";
    compare_memory: "Memory", "内存";
    compare_watts: "W", "瓦";
    compare_joules: "J per token", "每词元焦耳";
    compare_same_top: "Same most likely token", "最可能词元相同";
    compare_divergence: "Mean divergence, nats", "平均散度，nat";
    compare_difference: "First difference", "首个差异";
    compare_reference: "the reference", "参考";
    compare_none: "none", "无";
    compare_at_token(place: usize): "token {place}", "第 {place} 个词元";
    compare_not_run: "not run", "未运行";
    compare_not_repeatable: "Its runs did not all write the same.", "各次运行生成的内容不完全相同。";

    compare_texts: "What they wrote", "生成的文字";
    compare_texts_hint: "Marked: the first token that differs from the reference.", "标出的是与参考不同的第一个词元。";
    compare_strip: "Agreement token by token", "逐词元的一致程度";
    compare_strip_hint: "Each cell is a token of the reference text. Warmer: less likely here than to the reference; cooler: more likely. Point at one to see what each found most likely.",
        "每格是参考文本的一个词元。颜色越暖，表示在这里比在参考中更不可能；越冷则更可能。指向一格可查看双方认为最可能的词元。";
    compare_strip_name(name: &str): "Agreement of {name} with the reference", "{name} 与参考的一致程度";
    compare_token(text: &str): "Token “{text}”", "词元“{text}”";
    compare_log_probability(value: &str, difference: &str): "log-probability {value}, {difference} against the reference", "对数概率 {value}，与参考相差 {difference}";
    compare_here: "Here", "这里";
    compare_there: "The reference", "参考";

    compare_time: "Where the time of a token goes", "一个词元的时间用在哪里";
    compare_time_axis: "µs per token", "每词元微秒";
    compare_no_clock: "No contestant's device has a clock for its kernels.", "参与设备都没有内核计时器。";
    compare_roofline: "Roofline", "屋顶线";
    compare_roofline_hint: "Operators of one token (points) under what each device can do (lines): on the slope memory is the limit, under the flat part arithmetic.",
        "一个词元的各算子（点）与各设备的上限（线）：斜线段受内存限制，水平段受算力限制。";
    compare_intensity: "operations per byte", "每字节运算数";
    compare_rate: "GFLOP/s", "GFLOP/s";

    compare_kept: "Kept comparisons", "已保存的比较";
    compare_name: "Name of the comparison", "比较的名称";
    compare_keep: "Keep it", "保存";
    compare_was_kept(name: &str): "“{name}” is kept.", "已保存“{name}”。";
    compare_rename(name: &str): "Rename the comparison “{name}”", "重命名比较“{name}”";
    compare_deleted(name: &str): "“{name}” is deleted.", "已删除“{name}”。";
    compare_delete(name: &str): "Delete the comparison “{name}”", "删除比较“{name}”";
    compare_gone: "This comparison cannot be read any more.", "这个比较已无法读取。";
    compare_export_json: "Export the comparison as JSON", "将比较导出为 JSON";
    compare_export_markdown: "Export the comparison as Markdown", "将比较导出为 Markdown";
    compare_export_png: "Export the comparison as a picture", "将比较导出为图片";
    compare_export_title: "Export the comparison", "导出比较";
    compare_drawing: "The picture is being drawn.", "正在绘制图片。";
    compare_no_canvas: "this window draws without a GPU device that pictures could be drawn with", "此窗口没有可用于绘制图片的 GPU 设备";
    compare_not_drawn: "The picture could not be drawn.", "无法绘制图片。";
    compare_exported(path: &str): "The comparison is written to {path}.", "比较已写入 {path}。";
    compare_not_exported(path: &str, reason: &str): "{path} could not be written: {reason}", "无法写入 {path}：{reason}";
}
