// Package suite measures language models on public test sets by likelihood:
// HellaSwag, PIQA, ARC and LAMBADA. Prompts, metrics and standard errors are those
// of EleutherAI's lm-evaluation-harness (lm-eval), version 0.4, without examples in
// the prompt, so that results can be compared with published ones; its rules are
// written down in docs/evaluation.md.
//
//	tasks, err := suite.Find("core")
//	results, err := suite.Run(ctx, m, tasks, suite.Options{})
//	err = results.Table(os.Stdout)
package suite
