// Package fairness proves, in virtual time and with the topology's numbers, that a source that
// sends ten times what Segment takes does not delay the other sources of the pipeline, and that a
// backlog uses most of what Segment takes.
//
// Segment, SQS and Lambda are the emulators; what runs in between is what is deployed. How SQS
// hands out the messages of several groups is an assumption (sqs.Fairness), so each flood is played
// under both that are plausible, and without fair queues, under which the promise does not hold.
// All of it is in the tests.
package fairness
