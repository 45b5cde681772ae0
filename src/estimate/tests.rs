//! Estimates against arithmetic by hand, and against what is allocated.

use std::fs;

use ingle_models::{WeightFormats, shapes};

use super::*;

fn plan(format: WeightFormat) -> Plan {
    shapes::llama_2_7b().plan(&WeightFormats::uniform(format).into()).unwrap()
}

#[test]
fn the_cache_of_seven_billion_weights_is_half_a_mebibyte_per_token() {
    let plan = plan(WeightFormat::F16);
    assert_eq!(cache_bytes_per_token(&plan, CacheFormat::F16), 2 * 32 * 4096 * 2);
    let table = cache_table(&plan, CacheFormat::F16);
    // 0.06 GiB at 128 tokens of one sequence; every row and every column doubles; 64 GiB at 4096 × 32.
    assert_eq!(table.rows[0][..3], ["128", "0.06", "0.12"]);
    assert_eq!(table.rows[1][1], "0.12");
    assert_eq!(table.rows[5][..2], ["4096", "2.00"]);
    assert_eq!(table.rows[5][6], "64.00");
}

fn question<'a>(plan: &'a Plan, device: &'a DeviceSpec) -> Question<'a> {
    Question {
        plan,
        weights: WeightFormat::F16,
        cache: CacheFormat::F16,
        device,
        devices: 1,
        context: 512,
        batch: None,
        efficiency: Efficiency::default(),
    }
}

#[test]
fn the_largest_batch_fills_the_memory_and_no_more() {
    let (plan, known) = (plan(WeightFormat::F16), DeviceTable::built_in());
    let device = known.find("rtx-4090").unwrap();
    let question = question(&plan, device);
    let batch = question.largest_batch();
    assert!(question.fits(batch) && !question.fits(batch + 1));
    let answer = question.answer();
    assert_eq!((answer.batch, answer.fits, answer.bound), (batch, true, Bound::Memory));
    // At 80 % of 1008 GB/s the weights alone take 13.2 GB / 806 GB/s.
    assert!(answer.memory_seconds > 13.2e9 / 806.4e9);
    let expected = batch as f64 / answer.memory_seconds;
    assert!((answer.tokens_per_second - expected).abs() < 1e-9);
    let small = known.find("rtx-4060").unwrap();
    let answer = Question { device: small, ..question }.answer();
    assert_eq!((answer.batch, answer.fits, answer.bound), (0, false, Bound::Capacity));
    assert!(answer.tokens_per_second == 0.0);
}

#[test]
fn several_devices_share_the_work_and_have_to_talk() {
    let (plan, known) = (plan(WeightFormat::F16), DeviceTable::built_in());
    let device = known.find("rtx-4060").unwrap();
    let two = Question { devices: 2, batch: Some(1), ..question(&plan, device) };
    let answer = two.answer();
    assert!(answer.fits, "{answer:?}");
    // Two sums of 4096 numbers of two bytes in each of 32 layers, of which each device sends as much as there is.
    let expected = 2.0 * 32.0 * 4096.0 * 2.0 / (16e9 * 0.8);
    assert!((answer.communication_seconds / expected - 1.0).abs() < 1e-9, "{answer:?}");
    let one = Question { devices: 1, ..two.clone() }.answer();
    assert!(one.communication_seconds == 0.0 && one.memory_seconds / answer.memory_seconds > 1.999);
}

#[test]
fn the_feed_forward_part_turns_where_the_operations_per_byte_pass_the_ridge() {
    let known = DeviceTable::built_in();
    let device = known.find("a100-80g").unwrap();
    let format: WeightFormat = "int8".parse().unwrap();
    let architecture = shapes::find("qwen3-32b").unwrap().architecture;
    let plan = architecture.plan(&WeightFormats::uniform(format).into()).unwrap();
    let turning = feed_forward::turning_batch(&plan, format, device).unwrap();
    let limit = |batch| feed_forward::at(&plan, format, device, batch).limit.name();
    assert_eq!((limit(turning - 1), limit(turning)), ("memory", "compute"));
    // A weight of 8.25 bits is used 2·B times, so without activations the ridge of 153 op/byte would be passed at 153 · 1.031 / 2 = 78.9.
    // Rows in and out of the three products are 3 · (5120 + 25600) f32, 369 kB beside 405 MB of weights: 78.9 / (1 − 0.0717) = 85.0.
    assert!((85..=86).contains(&turning), "{turning}");
}

#[test]
fn devices_of_a_file_are_added_and_bad_ones_named() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("devices.json");
    let mut known = DeviceTable::built_in();
    let count = known.devices.len();
    let one = |name: &str, rate: f64| {
        format!(
            r#"[{{"name":"{name}","memory_bytes":1000,"bytes_per_second":{rate},"f16_operations_per_second":1e12}}]"#
        )
    };
    fs::write(&path, one("toaster", 1e9)).unwrap();
    known.extend(&path).unwrap();
    assert_eq!((known.devices.len(), known.find("toaster").unwrap().memory_bytes), (count + 1, 1000));
    fs::write(&path, one("l40", 1e9)).unwrap();
    known.extend(&path).unwrap();
    assert_eq!((known.devices.len(), known.find("l40").unwrap().memory_bytes), (count + 1, 1000));
    for bad in ["", "{}", r#"[{"name":"x"}]"#, &one("x", -1.0), &one("", 1.0)] {
        fs::write(&path, bad).unwrap();
        let error = known.extend(&path).unwrap_err().to_string();
        assert!(error.contains("devices.json") && error.contains("JSON list"), "{error}");
    }
    let error = known.extend(&folder.path().join("nothing")).unwrap_err();
    assert!(matches!(error, DeviceTableError::Read { .. }), "{error}");
}
