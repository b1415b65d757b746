//! JUnit: one suite for the images, one for the layers.

use super::ReportError;
use super::facts::{Report, SuspectLine, SuspectStanding};
use crate::model::harmless;
use quick_junit::{NonSuccessKind, Report as Junit, TestCase, TestCaseStatus, TestSuite};

/// The report as JUnit: an image that differs at the end is a failed test, so is a suspect that is left.
///
/// # Errors
/// When the XML cannot be written.
pub fn junit(report: &Report) -> Result<String, ReportError> {
    let mut out = Junit::new("fixcon");
    out.add_test_suites([images(report), layers(report)]);
    if let Some(problem) = &report.problem {
        let mut suite = TestSuite::new("log");
        suite.add_test_case(failed("the chain of the log is whole", problem));
        out.add_test_suite(suite);
    }
    out.to_string().map_err(|e| ReportError::Format(e.to_string()))
}

fn failed(name: &str, message: &str) -> TestCase {
    let mut status = TestCaseStatus::non_success(NonSuccessKind::Failure);
    status.set_message(harmless(message).into_owned());
    TestCase::new(harmless(name).into_owned(), status)
}

fn images(report: &Report) -> TestSuite {
    let mut suite = TestSuite::new(format!("images: {} against {}", harmless(&report.target.path), harmless(&report.source.path)));
    let Some(count) = report.after else { return suite };
    let mut listed = 0;
    for image in report.images.iter().filter(|i| i.differs) {
        let target = image.now.as_deref().filter(|t| !t.is_empty()).unwrap_or("nothing: it does not run");
        suite.add_test_case(failed(&image.image, &format!("source says {}, target {target}", image.source)));
        listed += 1;
    }
    if count.flips > listed {
        suite.add_test_case(failed(&format!("{} more images", count.flips - listed), "another label than the source's"));
    }
    let same = count.of.saturating_sub(count.flips);
    if same > 0 || count.flips == 0 {
        suite.add_test_case(TestCase::new(format!("{same} images agree"), TestCaseStatus::success()));
    }
    suite
}

fn layers(report: &Report) -> TestSuite {
    let mut suite = TestSuite::new("layers");
    let name = |s: &SuspectLine| {
        format!("{} in {}", s.kind.unwrap_or(s.category), s.target_nodes.first().or(s.target_tensors.first()).map_or("the recipe", |n| n))
    };
    for suspect in report.left() {
        suite.add_test_case(failed(&name(suspect), &suspect.words));
    }
    for suspect in report.suspects(SuspectStanding::Mended) {
        suite.add_test_case(TestCase::new(harmless(&format!("{} (mended)", name(suspect))).into_owned(), TestCaseStatus::success()));
    }
    let clean = report.looks.last().map_or(0, |l| l.regions.iter().filter(|r| r.verdict == "clean").count());
    if clean > 0 {
        suite.add_test_case(TestCase::new(format!("{clean} regions at the floor"), TestCaseStatus::success()));
    }
    suite
}
