//! Branches as lanes: rails of box characters at the left of a graph, one row a region.
//!
//! A lane carries one value from the row that makes it to its last reader. A row stands in the lane that ends there (the leftmost, if
//! several do), or in a lane of its own when every value it reads is needed further down. No row is spent on forks and joins alone.

/// What a row reads and makes, in the order of running. Values are any numbers that tell them apart.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Step {
    /// Values read, without repetition.
    pub reads: Vec<u32>,
    /// Values made that somebody may read.
    pub makes: Vec<u32>,
    /// Whether there is anything at this row on this side; a gap lets all lanes pass.
    pub gap: bool,
}

/// Arms of a box character.
const UP: u8 = 1;
const DOWN: u8 = 2;
const LEFT: u8 = 4;
const RIGHT: u8 = 8;
const NODE: u8 = 16;

/// The rail of one row.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Rail {
    /// Arms by column.
    cells: Vec<u8>,
    /// The column of the row itself; `None` for a gap.
    pub column: Option<usize>,
}

/// Box characters by their arms.
const ARMS: [char; 16] = [' ', '╵', '╷', '│', '╴', '╯', '╮', '┤', '╶', '╰', '╭', '├', '─', '┴', '┬', '┼'];
/// The row's own mark.
pub const MARK: char = '●';
/// A lane that passes folded rows.
const FOLDED: char = '┆';
/// Stands for lanes that there is no room for.
const MORE: char = '…';

/// The rails of all rows.
pub fn rails(steps: &[Step]) -> Vec<Rail> {
    let mut last: std::collections::HashMap<u32, usize> = std::collections::HashMap::new();
    for (row, step) in steps.iter().enumerate() {
        for v in &step.reads {
            last.insert(*v, row);
        }
    }
    let mut lanes: Vec<Option<u32>> = Vec::new();
    let mut out = Vec::with_capacity(steps.len());
    for (row, step) in steps.iter().enumerate() {
        let mut cells: Vec<u8> = lanes.iter().map(|l| if l.is_some() { UP | DOWN } else { 0 }).collect();
        if step.gap {
            trim(&mut cells);
            out.push(Rail { cells, column: None });
            continue;
        }
        let read: Vec<usize> = (0..lanes.len()).filter(|c| lanes[*c].is_some_and(|v| step.reads.contains(&v))).collect();
        let ends: Vec<usize> = read.iter().copied().filter(|c| lanes[*c].is_some_and(|v| last[&v] <= row)).collect();
        let column = ends.first().copied().unwrap_or_else(|| free_after(&lanes, read.last().copied()));
        grow(&mut lanes, &mut cells, column);
        for c in &ends {
            lanes[*c] = None;
            cells[*c] &= !DOWN;
        }
        // What is made and read further down: the first goes on in this lane, the others beside it.
        let mut made = Vec::new();
        for v in step.makes.iter().filter(|v| last.get(v).is_some_and(|l| *l > row)) {
            let c = if made.is_empty() { column } else { free_after(&lanes, Some(column)) };
            grow(&mut lanes, &mut cells, c);
            lanes[c] = Some(*v);
            cells[c] |= DOWN;
            made.push(c);
        }
        let reach = read.iter().chain(&made).copied();
        let (from, to) = (reach.clone().min().unwrap_or(column).min(column), reach.max().unwrap_or(column).max(column));
        if from < to {
            for (c, cell) in cells.iter_mut().enumerate().take(to + 1).skip(from) {
                if c > from {
                    *cell |= LEFT;
                }
                if c < to {
                    *cell |= RIGHT;
                }
            }
        }
        cells[column] |= NODE;
        trim(&mut cells);
        out.push(Rail { cells, column: Some(column) });
    }
    out
}

fn free_after(lanes: &[Option<u32>], column: Option<usize>) -> usize {
    let from = column.map_or(0, |c| c + 1);
    (from..lanes.len()).find(|c| lanes[*c].is_none()).unwrap_or(lanes.len().max(from))
}

fn grow(lanes: &mut Vec<Option<u32>>, cells: &mut Vec<u8>, column: usize) {
    if lanes.len() <= column {
        lanes.resize(column + 1, None);
    }
    if cells.len() < lanes.len() {
        cells.resize(lanes.len(), 0);
    }
}

fn trim(cells: &mut Vec<u8>) {
    while cells.last() == Some(&0) {
        cells.pop();
    }
}

impl Rail {
    /// How many columns it needs.
    pub fn width(&self) -> usize {
        self.cells.len()
    }

    /// As text of at most `columns` lanes, two characters each but for the last: a mark, and the way to the next lane.
    pub fn draw(&self, columns: usize) -> String {
        let fits = self.cells.len() <= columns;
        let shown = if fits { self.cells.len() } else { columns.saturating_sub(1) };
        let mut out = String::with_capacity(4 * shown);
        for (c, cell) in self.cells.iter().take(shown).enumerate() {
            if c > 0 {
                out.push(if cell & LEFT != 0 { ARMS[(LEFT | RIGHT) as usize] } else { ' ' });
            }
            out.push(if cell & NODE != 0 { MARK } else { ARMS[(cell & 15) as usize] });
        }
        if !fits && columns > 0 {
            if shown > 0 {
                out.push(' ');
            }
            out.push(if self.column.is_some_and(|c| c >= shown) { MARK } else { MORE });
        }
        out
    }

    /// The lanes that pass a fold which ends with this row.
    pub fn draw_folded(&self, columns: usize) -> String {
        let below: Vec<bool> = self.cells.iter().map(|c| c & DOWN != 0).collect();
        let count = below.iter().rposition(|b| *b).map_or(0, |c| c + 1);
        if count == 0 {
            return FOLDED.to_string();
        }
        let shown = if count <= columns { count } else { columns.saturating_sub(1) };
        let mut out = String::new();
        for (c, open) in below.iter().take(shown).enumerate() {
            if c > 0 {
                out.push(' ');
            }
            out.push(if *open { FOLDED } else { ' ' });
        }
        if shown < count && columns > 0 {
            if shown > 0 {
                out.push(' ');
            }
            out.push(MORE);
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn step(reads: &[u32], makes: &[u32]) -> Step {
        Step { reads: reads.to_vec(), makes: makes.to_vec(), gap: false }
    }

    fn text(steps: &[Step]) -> String {
        rails(steps).iter().map(|r| r.draw(99)).collect::<Vec<_>>().join("\n")
    }

    #[test]
    fn a_chain_stays_in_one_lane() {
        assert_eq!(text(&[step(&[], &[0]), step(&[0], &[1]), step(&[1], &[])]), "●\n●\n●");
    }

    #[test]
    fn a_skip_connection_runs_beside_its_branch() {
        let steps = [step(&[], &[0]), step(&[0], &[1]), step(&[1], &[2]), step(&[0, 2], &[3]), step(&[3], &[])];
        assert_eq!(text(&steps), "●\n├─●\n│ ●\n●─╯\n●");
    }

    #[test]
    fn a_projection_takes_over_the_trunk() {
        // The trunk's value ends in the second convolution, which stands in its lane.
        let steps = [step(&[], &[0]), step(&[0], &[1]), step(&[0], &[2]), step(&[1, 2], &[3])];
        assert_eq!(text(&steps), "●\n├─●\n● │\n●─╯");
    }

    #[test]
    fn four_branches_join_in_one_row() {
        let steps = [step(&[], &[0]), step(&[0], &[1]), step(&[0], &[2]), step(&[0], &[3]), step(&[0], &[4]), step(&[1, 2, 3, 4], &[5])];
        assert_eq!(text(&steps), "●\n├─●\n├─┼─●\n├─┼─┼─●\n● │ │ │\n●─┴─┴─╯");
    }

    #[test]
    fn several_outputs_fan_out() {
        let steps = [step(&[], &[0]), step(&[0], &[1, 2, 3]), step(&[1], &[4]), step(&[2, 3, 4], &[5])];
        assert_eq!(text(&steps), "●\n●─┬─╮\n● │ │\n●─┴─╯");
    }

    #[test]
    fn a_gap_lets_lanes_pass() {
        let gap = Step { gap: true, ..Step::default() };
        let steps = [step(&[], &[0]), step(&[0], &[1]), gap, step(&[0, 1], &[])];
        assert_eq!(text(&steps), "●\n├─●\n│ │\n●─╯");
    }

    #[test]
    fn values_that_nobody_reads_open_no_lane_and_unknown_ones_do_no_harm() {
        assert_eq!(text(&[step(&[], &[0, 7]), step(&[0, 9], &[8])]), "●\n●");
        // Read before it is made (no order of running): no panic.
        assert_eq!(text(&[step(&[1], &[0]), step(&[0], &[1])]), "●\n●");
    }

    #[test]
    fn what_does_not_fit_is_marked() {
        let steps = [step(&[], &[0]), step(&[0], &[1]), step(&[0], &[2]), step(&[0], &[3]), step(&[0, 1, 2, 3], &[5])];
        let rails = rails(&steps);
        assert_eq!(rails[3].draw(3), "├─┼ ●");
        assert_eq!(rails[1].draw(1), "●");
        assert_eq!(rails[2].draw_folded(9), "┆ ┆ ┆");
    }
}
