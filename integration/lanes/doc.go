// Package lanes proves what the bulk queue promises, in virtual time and with the topology's
// numbers: a million old events drain as fast as Segment allows, and fresh ones hardly notice.
//
// Segment, SQS and Lambda are the emulators; what runs in between is what is deployed. All of it is
// in the tests.
package lanes
