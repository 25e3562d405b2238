// Package lambda is the Lambda emulator: it runs Lambda functions and their SQS event source
// mappings on one machine, by Lambda's own rules.
//
// It exists so that tests, benchmarks and `spillway up` run what runs on AWS: the same handlers get
// the same JSON in the same batches, with the same timeouts, limits and consequences. It has five
// parts:
//
//   - A [Function] has a timeout, a concurrency limit and environments. An environment runs one
//     invocation at a time, is reused while it is idle, and is discarded after a timeout, a panic
//     or a crash.
//   - A [Version] is a function's code that was published, and an [Alias] a name for one version, or
//     for two of which it chooses one at random for each invocation. So a deployment can be tried on
//     a part of the invocations: package codedeploy does.
//   - An [Environment] runs a handler: in this process ([InProcess]), which is fast and works in
//     virtual time, or as the built binary that is deployed ([Process]), which speaks the Lambda
//     Runtime API and can be killed.
//   - An [EventSourceMapping] polls a [Queue], makes batches, invokes the function, and deletes the
//     messages that the function processed.
//
// Where AWS publishes a number or a rule, the code follows it and names the source beside it. Where
// AWS publishes none (how fast pollers slow down after errors, when their number falls again), the
// comment says that the choice is ours.
//
// # Not emulated
//
// Extensions, response streaming, provisioned concurrency, tenant isolation, event filters,
// asynchronous invocations, settings that differ between versions, deleting a version, and CPU and
// memory limits. In process, the package-level variables of lambdacontext (FunctionName and its
// like) are empty, because aws-lambda-go reads them from the environment of the process; a
// [Process] has them.
package lambda
