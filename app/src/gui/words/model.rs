//! Words of models and devices.

use super::words;

words! {
    no_model: "No model", "没有模型";
    no_model_yet: "No model is open.", "还没有打开模型。";
    model_and_device(name: &str): "Model and device: {name}", "模型与设备：{name}";
    choose_folder: "Open a model folder", "打开模型文件夹";
    close_model: "Close the model", "关闭模型";
    load_again: "Try again", "再试一次";
    try_on_cpu: "Try on the CPU", "在 CPU 上试试";
    look_for_devices: "Look for devices again", "重新查找设备";
    drop_hint: "or drop one here", "或拖放到这里";
    cannot_open(folder: &str): "{folder} could not be opened", "无法打开 {folder}";
    looking: "the best device", "最合适的设备";
    loading_model(name: &str): "Loading {name}", "正在加载 {name}";
    loading_on(name: &str, device: &str): "Loading {name} on {device}", "正在 {device} 上加载 {name}";
    loading_progress: "Loaded", "已加载";
    weights_in(format: &str, reason: &str): "Weights in {format} ({reason})", "权重格式 {format}（{reason}）";
    context_of(tokens: usize, reason: &str): "Context of {tokens} tokens ({reason})", "上下文 {tokens} 个词元（{reason}）";
    memory_parts(weights: &str, cache: &str, activations: &str): "{weights} weights, {cache} cache, {activations} activations", "权重 {weights}，缓存 {cache}，激活 {activations}";
    loaded_in(seconds: f64): "Loaded in {seconds:.1} s", "加载用时 {seconds:.1} 秒";

    device: "Device", "设备";
    use_device(name: &str): "Use {name}", "使用 {name}";
    device_in_use(tier: &str, memory: &str): "In use: kernels of tier {tier}, {memory}", "使用中：{tier} 级内核，{memory}";
    device_trouble(reason: &str): "Given up: {reason}", "已放弃：{reason}";
    device_software: "Not used: a driver that computes on the CPU, which is faster without it", "未使用：此驱动在 CPU 上计算，直接用 CPU 更快";
    device_cpu: "Not used: there is a GPU", "未使用：有 GPU 可用";
    device_best: "The best device here", "此处最合适的设备";
    device_other: "Not used: another device comes before it", "未使用：有更优先的设备";
    device_kind_and_driver(kind: &str, driver: &str): "{kind}, driver {driver}", "{kind}，驱动 {driver}";
    device_lost(reason: &str): "{reason}. The model is being loaded again, and the reply will go on.", "{reason}。正在重新加载模型，回复将继续。";
    goes_on_on_cpu(device: &str, reason: &str): "{device} is given up: {reason}. The reply continues on the CPU.", "已放弃 {device}：{reason}。回复将在 CPU 上继续。";
    model_is_gone(folder: &str): "The model that was open last cannot be opened: there is no folder {folder}. Models has all others.", "无法打开上次使用的模型：文件夹 {folder} 不存在。其他模型见「模型」页。";
    device_restored(seconds: f64): "Loaded again in {seconds:.1} s; the reply goes on.", "已在 {seconds:.1} 秒内重新加载；回复继续。";

    weights: "Weights", "权重";
    cache: "Cache", "缓存";
    context: "Context", "上下文";
    automatic: "automatic", "自动";
    as_stored: "as stored", "与文件相同";
}
