package topology

import "github.com/spillwayhq/spillway/shared/emf"

// A Location is where CloudWatch has a metric.
type Location struct {
	Namespace, Name string
	Dimensions      []Dimension
}

// A Dimension of a metric.
type Dimension struct{ Name, Value string }

// EndpointMetrics are where CloudWatch has the metrics of the ingest endpoint: that depends on what
// stands before the function.
type EndpointMetrics struct {
	Namespace string
	Dimension Dimension
	Names     map[string]string // by the topology's names
}

// The namespaces of what stands before the ingest function.
const (
	HTTPAPINamespace     = "AWS/ApiGateway"
	FunctionURLNamespace = "AWS/Lambda"
)

// HTTPAPIMetrics are those of an HTTP API, whose ID AWS chooses.
func HTTPAPIMetrics(id string) EndpointMetrics {
	return EndpointMetrics{Namespace: HTTPAPINamespace, Dimension: Dimension{"ApiId", id}, Names: map[string]string{
		"Requests": "Count", "ClientErrors": "4xx", "ServerErrors": "5xx", "Latency": "Latency"}}
}

// FunctionURLMetrics are those of a function URL.
func FunctionURLMetrics(function string) EndpointMetrics {
	return EndpointMetrics{Namespace: FunctionURLNamespace, Dimension: Dimension{"FunctionName", function},
		Names: map[string]string{"Requests": "UrlRequestCount", "ClientErrors": "Url4xxCount", "ServerErrors": "Url5xxCount",
			"Latency": "UrlRequestLatency"}}
}

// Location returns where CloudWatch has the metric, of a pipeline with this endpoint.
func (m Metric) Location(e EndpointMetrics) Location {
	switch {
	case m.Queue != "":
		return Location{"AWS/SQS", m.Name, []Dimension{{"QueueName", m.Queue}}}
	case m.Stream != "":
		return Location{"AWS/Firehose", m.Name, []Dimension{{"DeliveryStreamName", m.Stream}}}
	case m.Function != "" && m.Dimension == ExecutedVersion: // as text: a reference to the alias would be a cycle
		return Location{"AWS/Lambda", m.Name, []Dimension{{"FunctionName", m.Function},
			{"Resource", m.Function + ":" + LiveAlias}, {ExecutedVersion, m.Value}}}
	case m.Function != "":
		return Location{"AWS/Lambda", m.Name, []Dimension{{"FunctionName", m.Function}}}
	case m.IngestEndpoint:
		return Location{e.Namespace, e.Names[m.Name], []Dimension{e.Dimension}}
	}
	own := []Dimension{{emf.PipelineDimension, m.Pipeline}, {emf.FunctionDimension, m.Own}}
	if m.Dimension != "" {
		own = append(own, Dimension{m.Dimension, m.Value})
	}
	return Location{emf.Namespace, m.Name, own}
}
