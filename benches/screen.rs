//! A step of the screen on a pair of 5,000 nodes each: a key comes in, the state changes, all is drawn. The 99th percentile of many
//! steps is printed beside criterion's mean, and the bench fails when it is above 8 ms.

use criterion::{Criterion, criterion_group, criterion_main};
use fixcon::model::ValueId;
use fixcon::run::OpId;
use fixcon::session::{Cell, Row, Sheet, Sign, Snapshot};
use fixcon::tui::commands::KeyMap;
use fixcon::tui::derived::Prepared;
use fixcon::tui::state::{Screen, State};
use fixcon::tui::theme::Theme;
use fixcon::tui::update::{Input, update};
use fixcon::tui::view;
use ratatui::buffer::Buffer;
use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyModifiers};
use ratatui::layout::Size;
use std::hint::black_box;
use std::sync::Arc;
use std::time::{Duration, Instant};

const NODES: u32 = 5000;

/// A deep network with skip connections and branches; every hundredth region is faulty.
fn sheet() -> Sheet {
    let cell = |i: u32| {
        let mut reads = vec![ValueId(i.saturating_sub(1))];
        if i % 7 == 6 {
            reads.extend([ValueId(i - 5), ValueId(i - 3)]);
        }
        let makes = vec![ValueId(i)];
        Some(Cell { ops: vec![OpId(i)], text: format!("Conv 3×3 /2 dw {i}"), shape: "1×96×12×12".into(), reads, makes })
    };
    let row = |i: u32| Row {
        region: Some(i as usize),
        source: cell(i),
        target: cell(i),
        sign: if i % 100 == 50 { Sign::Faulty } else { Sign::Clean },
        isolated: Some(if i % 100 == 50 { 0.4 } else { 2e-7 }),
        accumulated: Some(1e-6),
        layout: "0,3,1,2".into(),
        why: String::new(),
        said: Vec::new(),
    };
    Sheet {
        aligned: true,
        rows: (0..NODES).map(row).collect(),
        source: None,
        target: None,
        floor: Some((2e-7, 3e-5)),
        precision: fixcon::align::Precision::Float,
    }
}

fn state() -> State {
    let mut state = State::new(Size::new(200, 60), Theme::default(), KeyMap::default(), Vec::new());
    state.screen = Screen::Case;
    let snapshot = Snapshot { generation: 1, sheet: Some(Arc::new(sheet())), ..Snapshot::default() };
    update(&mut state, Input::Engine(Prepared::new(Arc::new(snapshot), &Prepared::default())));
    state
}

fn step(state: &mut State, buffer: &mut Buffer, key: KeyCode) {
    update(state, Input::Key(KeyEvent::new(key, KeyModifiers::NONE)));
    buffer.reset();
    black_box(view::draw(state, buffer));
}

const KEYS: [KeyCode; 8] = [
    KeyCode::Down,
    KeyCode::PageDown,
    KeyCode::Char('!'),
    KeyCode::Char('Z'),
    KeyCode::End,
    KeyCode::Char('('),
    KeyCode::Char(')'),
    KeyCode::Up,
];

fn screen(criterion: &mut Criterion) {
    let mut state = state();
    let mut buffer = Buffer::empty(state.area());
    let mut times: Vec<Duration> = Vec::new();
    for i in 0..2000 {
        let began = Instant::now();
        step(&mut state, &mut buffer, KEYS[i % KEYS.len()]);
        times.push(began.elapsed());
    }
    times.sort();
    let p99 = times[times.len() * 99 / 100];
    println!(
        "update and draw, {NODES} nodes a side, 200x60: median {:?}, p99 {p99:?}, worst {:?}",
        times[times.len() / 2],
        times[times.len() - 1]
    );
    assert!(p99 < Duration::from_millis(8), "a step of the screen takes too long");

    let mut i = 0;
    criterion.bench_function("update and draw, 5000 nodes", |b| {
        b.iter(|| {
            i += 1;
            step(&mut state, &mut buffer, KEYS[i % KEYS.len()]);
        });
    });
    let sheet = Arc::new(sheet());
    criterion.bench_function("rails and links, 5000 nodes (off the screen's thread)", |b| {
        b.iter(|| {
            let snapshot = Snapshot { sheet: Some(sheet.clone()), ..Snapshot::default() };
            black_box(Prepared::new(Arc::new(snapshot), &Prepared::default()))
        });
    });
}

criterion_group! {
    name = benches;
    config = Criterion::default().sample_size(20).measurement_time(Duration::from_secs(4));
    targets = screen
}
criterion_main!(benches);
