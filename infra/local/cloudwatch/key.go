package cloudwatch

import (
	"cmp"

	"github.com/spillwayhq/spillway/infra/topology"
)

// A Key names a metric: topology.Metric without the ID and the statistic. Exactly one of Queue,
// Function, Stream, IngestEndpoint and Own is set.
type Key struct {
	Queue          string // SQS writes it about this queue
	Function       string // Lambda writes it about this function
	Stream         string // Firehose writes it about this delivery stream
	IngestEndpoint bool   // the gateway writes it about the endpoint
	Own, Pipeline  string // we write it: the values of the dimensions Function and Pipeline

	Name             string
	Dimension, Value string // as of topology.Metric
}

// KeyOf returns the key of a metric of the topology.
func KeyOf(m topology.Metric) Key {
	return Key{Queue: m.Queue, Function: m.Function, Stream: m.Stream, IngestEndpoint: m.IngestEndpoint, Own: m.Own,
		Pipeline: m.Pipeline, Name: m.Name, Dimension: m.Dimension, Value: m.Value}
}

// String is for people: "deliver EventsRetried Class=transient".
func (k Key) String() string {
	subject := cmp.Or(k.Queue, k.Function, k.Stream, k.Own, "ingest endpoint")
	if k.Dimension == "" {
		return subject + " " + k.Name
	}
	return subject + " " + k.Name + " " + k.Dimension + "=" + k.Value
}
