// Package streams is what takes messages from SQS to Segment without code of Spillway or of Lambda:
// Benthos, a stream processor that is configured, and Watermill, a library for handlers of
// messages.
package streams

import (
	"github.com/spillwayhq/spillway/integration/peers/lambdas"
	"github.com/spillwayhq/spillway/integration/peers/peer"
)

// Peers are Benthos and Watermill, with one event a message.
func Peers() []peer.Peer {
	return []peer.Peer{
		{Name: "benthos", What: "Benthos 4.27: aws_sqs, batches of 250, http_client",
			Queue: peer.SQS, Backlog: peer.BacklogJSON, Fill: lambdas.FillJSON, Program: "benthos"},
		{Name: "watermill", What: "Watermill on SQS, 100 handlers, a client for each message",
			Queue: peer.SQS, Backlog: peer.BacklogJSON, Fill: lambdas.FillJSON, Worker: runWatermill, Sample: 50_000},
	}
}
