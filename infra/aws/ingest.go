package main

import (
	"encoding/json"

	"github.com/aws/aws-cdk-go/awscdk/v2/awsapigatewayv2"
	"github.com/aws/aws-cdk-go/awscdk/v2/awsapigatewayv2integrations"
	"github.com/aws/aws-cdk-go/awscdk/v2/awslambda"
	"github.com/aws/jsii-runtime-go"
)

// A door is where events come in from outside: its URL, and where CloudWatch has its metrics.
type door struct {
	url       *string
	namespace string
	dimension string
	value     *string
	names     map[string]string // by the topology's names
}

// addIngest makes the door for SDKs.
//
// In front of it stands an HTTP API: it throttles, so that a flood costs a bounded amount; it
// writes an access log; and it takes a domain of one's own. It costs $1.00 a million requests. A
// function URL costs nothing and does none of these: it is for a door that few know, or that has a
// CDN in front. To the function both are one: the same payload, and the same rule by which bodies
// come in base64. Neither answers CORS: the function does, because it knows what SDKs send.
func (p *pipeline) addIngest() {
	events, dead := p.queues[p.topology.Names.EventsQueue], p.queues[p.topology.Names.DeadLetterQueue]
	variables := map[string]*string{"SPILLWAY_QUEUE_URL": events.QueueUrl(),
		"SPILLWAY_DEAD_LETTER_QUEUE_URL": dead.QueueUrl()}
	if name := p.settings.WriteKeysParameter; name != "" {
		variables["SPILLWAY_WRITE_KEYS_PARAMETER"] = jsii.String(name)
	}
	if p.settings.PublicURL != "" {
		variables["SPILLWAY_PUBLIC_URL"] = jsii.String(p.settings.PublicURL)
	}
	if p.settings.Canary {
		variables["SPILLWAY_CANARY_WRITE_KEY"] = p.canaryKey()
	}
	ingest := p.newFunction(p.topology.Names.IngestFunction, "takes events from SDKs into the queue", variables)
	events.maySend(ingest.role)
	dead.maySend(ingest.role)
	allow(ingest.role, []*string{events.QueueArn()}, "sqs:GetQueueAttributes") // /health
	if name := p.settings.WriteKeysParameter; name != "" {
		p.mayRead(ingest.role, name)
	}
	if p.settings.Door == doorFunctionURL {
		p.door = p.newFunctionURL(ingest)
	} else {
		p.door = p.newHTTPAPI(ingest)
	}
}

func (p *pipeline) newFunctionURL(ingest function) door {
	url := ingest.AddFunctionUrl(&awslambda.FunctionUrlOptions{AuthType: awslambda.FunctionUrlAuthType_NONE,
		InvokeMode: awslambda.InvokeMode_BUFFERED})
	return door{
		url: url.Url(), namespace: "AWS/Lambda", dimension: "FunctionName",
		value: jsii.String(p.topology.Names.IngestFunction),
		names: map[string]string{"Requests": "UrlRequestCount", "ClientErrors": "Url4xxCount", "ServerErrors": "Url5xxCount",
			"Latency": "UrlRequestLatency"},
	}
}

// accessLog is a line of the access log. Neither the path, which may hold a write key, nor the
// query, which may hold an event, nor an address is in it. The function's status is the one that it
// answered with: context.integrationStatus is the one of the call to Lambda, 200 as long as it ran.
// context.error.messageString comes with quotes of its own and would break the line.
var accessLog = map[string]string{
	"time": "$context.requestTime", "requestId": "$context.requestId", "method": "$context.httpMethod",
	"protocol": "$context.protocol",
	"status":   "$context.status", "bytes": "$context.responseLength", "latencyMs": "$context.responseLatency",
	"functionStatus": "$context.integration.status", "functionError": "$context.integrationErrorMessage",
	"gatewayError": "$context.error.message",
}

func (p *pipeline) newHTTPAPI(ingest function) door {
	integration := awsapigatewayv2integrations.NewHttpLambdaIntegration(jsii.String("IngestIntegration"), ingest.Function,
		&awsapigatewayv2integrations.HttpLambdaIntegrationProps{
			PayloadFormatVersion: awsapigatewayv2.PayloadFormatVersion_VERSION_2_0(), ScopePermissionToRoute: jsii.Bool(true),
		})
	api := awsapigatewayv2.NewHttpApi(p.Stack, jsii.String("Door"), &awsapigatewayv2.HttpApiProps{
		ApiName: jsii.String(p.topology.Names.IngestFunction), Description: jsii.String("the door for Segment's SDKs"),
		CreateDefaultStage: jsii.Bool(false), DefaultIntegration: integration,
	})
	log := p.newLogGroup("DoorLog", p.topology.Names.AccessLog(), p.topology.IngestEndpoint.LogRetention)
	format, _ := json.Marshal(accessLog) // of strings: it can't fail, and its keys are in order
	awsapigatewayv2.NewCfnStage(p.Stack, jsii.String("DoorStage"), &awsapigatewayv2.CfnStageProps{
		ApiId: api.ApiId(), StageName: jsii.String("$default"), AutoDeploy: jsii.Bool(true),
		DefaultRouteSettings: &awsapigatewayv2.CfnStage_RouteSettingsProperty{
			ThrottlingRateLimit:  jsii.Number(p.topology.IngestEndpoint.RequestsPerSecond),
			ThrottlingBurstLimit: jsii.Number(p.topology.IngestEndpoint.Burst),
		},
		AccessLogSettings: &awsapigatewayv2.CfnStage_AccessLogSettingsProperty{DestinationArn: log.LogGroupArn(),
			Format: jsii.String(string(format))},
	})
	return door{
		url: api.ApiEndpoint(), namespace: "AWS/ApiGateway", dimension: "ApiId", value: api.ApiId(),
		names: map[string]string{"Requests": "Count", "ClientErrors": "4xx", "ServerErrors": "5xx", "Latency": "Latency"},
	}
}
