//! A head of heads: each row goes to that of its task.

use super::member::MemberHead;
use crate::{
    batch::Inputs,
    heads::{Head, RowLosses},
};
use electra_torch::upload;
use electra_train::metrics::Observations;
use std::convert::Infallible;
use tch::{Kind, Tensor};

/// Which example of which task a row is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MultiTarget {
    /// Number of the task.
    pub task: usize,
    /// Number of its training input.
    pub example: usize,
}

/// The heads of several tasks. Variables: each head's own under the folder name of its task.
#[derive(Debug)]
pub struct MultiHead {
    heads: Vec<(Box<dyn MemberHead>, f64)>,
}

impl MultiHead {
    /// Heads with what their losses are multiplied by.
    pub(super) fn new(heads: Vec<(Box<dyn MemberHead>, f64)>) -> Self {
        Self { heads }
    }

    pub(super) fn heads(&self) -> impl Iterator<Item = &dyn MemberHead> {
        self.heads.iter().map(|(head, _)| &**head)
    }
}

impl Head for MultiHead {
    type Target = MultiTarget;
    /// Each task's answers come from its own head, with the targets of its own.
    type Prediction = Infallible;

    fn name(&self) -> &'static str {
        "several-tasks"
    }

    fn losses(
        &self,
        hidden_bsh: &Tensor,
        inputs: &Inputs,
        targets: &[&MultiTarget],
        train: bool,
    ) -> RowLosses {
        let device = hidden_bsh.device();
        let mut losses_b = Tensor::zeros([targets.len() as i64], (Kind::Float, device));
        for (number, (head, weight)) in self.heads.iter().enumerate() {
            let (rows, examples): (Vec<usize>, Vec<usize>) = targets
                .iter()
                .enumerate()
                .filter(|(_, target)| target.task == number)
                .map(|(row, target)| (row, target.example))
                .unzip();
            if rows.is_empty() {
                continue;
            }
            let numbers: Vec<i64> = rows.iter().map(|&row| row as i64).collect();
            let rows_r = upload(&Tensor::from_slice(&numbers), device);
            let hidden_rsh = hidden_bsh.index_select(0, &rows_r);
            let own = head.losses(&hidden_rsh, &inputs.select(&rows), &examples, train);
            let losses_r = own.losses_b.to_kind(Kind::Float) * *weight;
            losses_b = losses_b.index_add(0, &rows_r, &losses_r);
        }
        RowLosses { losses_b, outputs: Vec::new() }
    }

    fn predict(&self, _hidden_bsh: &Tensor, _inputs: &Inputs) -> Vec<Infallible> {
        Vec::new()
    }

    fn observe(&self, _: &[&MultiTarget], _: &[Tensor], _: &mut Observations) {}
}
