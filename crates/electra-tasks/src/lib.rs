//! Tasks, scorers, fine-tuning and prediction for ELECTRA
