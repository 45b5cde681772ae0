//! Words of the page of devices.

use super::words;

words! {
    view_devices: "Devices", "设备";
    devices_intro: "What can run models here, what is in use, and why the others are not.", "本机可运行模型的设备、正在使用的设备，以及其他设备未被使用的原因。";
    devices_unknown: "Looking for devices…", "正在查找设备…";
    device_vendor(vendor: &str): "by {vendor}", "厂商 {vendor}";
    device_driver(driver: &str): "driver {driver}", "驱动 {driver}";
    device_units(count: usize): "{count} units", "{count} 个单元";
    device_memory(total: &str, free: &str): "{total} of memory, {free} of it free", "内存 {total}，可用 {free}";
    device_memory_total(total: &str): "{total} of memory; what is free is not told", "内存 {total}；未报告可用量";
    device_memory_unknown: "its driver does not tell how much memory there is", "驱动未报告内存";
    device_memory_shared: "the memory of the CPU", "与 CPU 共用内存";
    device_holds(bytes: &str): "Inglenook holds {bytes} of it", "Inglenook 占用 {bytes}";
    device_reads(rate: &str): "reads {rate}", "读取 {rate}";
    device_not_measured(why: &str): "could not be measured: {why}", "无法测量：{why}";
    device_tiers: "Kernels", "内核";
    tier_forced(tier: &str): "{tier} is forced by the environment", "环境变量强制使用 {tier}";
    tier_unchecked(tier: &str): "{tier}: not checked yet", "{tier}：尚未检查";
    tier_passed(tier: &str, count: usize): "{tier}: {count} checks passed", "{tier}：{count} 项检查通过";
    tier_failed(tier: &str, fault: &str): "{tier} is not used: {fault}", "不使用 {tier}：{fault}";
    device_features: "Features", "特性";
    use_this_device(name: &str): "Use {name}", "使用 {name}";
    use_automatic_device: "Choose the device automatically", "自动选择设备";
    check_device: "Check again", "重新检查";
    check_named_device(name: &str): "Check {name} again", "重新检查 {name}";
    check_stop: "Stop checking", "停止检查";
    check_running: "Comparing kernels with exact arithmetic…", "正在将内核与精确运算比较…";
    check_done(cases: usize): "Everything is right: {cases} cases agree with exact arithmetic.", "全部正确：{cases} 个用例与精确运算一致。";
    check_known: "Everything was known to be right already.", "此前已确认全部正确。";
    check_failed(why: &str): "The check came to no end: {why}", "检查未能完成：{why}";
    forget_verdicts: "Forget which kernels are right", "清除内核检查结果";
    verdicts_forgotten: "All kernels are checked again before they are used next.", "所有内核在下次使用前都会重新检查。";
    missing_devices: "Not available", "不可用";
    environment: "For those who try things out", "供试验者使用";
    environment_intro: "These variables are read when the program starts.", "程序启动时读取以下环境变量。";
    env_tier: "forces a set of GPU kernels: base, subgroup, f16, dot4 or coop", "强制使用一组 GPU 内核：base、subgroup、f16、dot4 或 coop";
    env_cpu_tier: "forces a set of CPU instructions, such as avx2 or portable", "强制使用一组 CPU 指令，例如 avx2 或 portable";
    env_tune: "0 keeps the shapes of kernels as they are, so that sums are the same everywhere", "设为 0 时不调整内核形状，各处求和结果一致";
    env_data: "the folder of conversations and settings", "对话与设置所在的文件夹";
    env_hub: "the folder of downloaded models", "已下载模型所在的文件夹";
}
