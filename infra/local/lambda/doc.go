// Package lambda runs Lambda functions and their SQS event source mappings on one machine, by
// Lambda's own rules.
//
// It is there so that what is tried out, tested and measured locally is what runs on AWS: the same
// handlers, called with the same JSON, in the same batches, with the same time-outs, limits and
// consequences. It is made of three parts:
//
//   - A [Function] has a time-out, a concurrency and environments. One environment holds one invocation at a time, is used
//     again when it is idle, and is thrown away after a time-out, a panic or a crash.
//   - An [Environment] is where a handler runs: in this process ([InProcess]), which is fast and works in virtual time, or as
//     the built binary that is deployed ([Process]), which speaks the Lambda Runtime API and can be killed.
//   - An [EventSourceMapping] polls a [Queue], makes batches, invokes the function, and deletes what was processed.
//
// Where AWS publishes a number or a rule it is followed, and its source is named beside it. Where
// AWS publishes none (how fast pollers slow down after errors, when they scale down again), the
// comment says that the choice is ours.
//
// What is not here: extensions, response streaming, provisioned concurrency, tenant isolation,
// filters on events, asynchronous invocations, and the package-level variables of lambdacontext
// (FunctionName and its like), which aws-lambda-go reads from the environment of the process; a
// [Process] has them.
package lambda
