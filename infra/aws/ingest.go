package main

import (
	"encoding/json"
	"strings"

	"github.com/aws/aws-cdk-go/awscdk/v2/awsapigatewayv2"
	"github.com/aws/aws-cdk-go/awscdk/v2/awsapigatewayv2integrations"
	"github.com/aws/aws-cdk-go/awscdk/v2/awsiam"
	"github.com/aws/aws-cdk-go/awscdk/v2/awslambda"
	"github.com/aws/jsii-runtime-go"

	"github.com/spillwayhq/spillway/infra/settings"
	"github.com/spillwayhq/spillway/infra/topology"
	"github.com/spillwayhq/spillway/shared/s3"
)

// An endpoint is where SDKs send events: its URL, and where CloudWatch has its metrics. target is
// the host of this region behind the URL's name; nil: the URL's own host is.
type endpoint struct {
	url, target *string
	metrics     topology.EndpointMetrics
}

// addIngest creates the ingest function and the endpoint in front of it.
//
// By default that is an HTTP API: it throttles, so that a flood costs a bounded amount; it writes
// an access log; and it can have a domain of one's own. It costs $1.00 a million requests. A
// function URL is free and does none of these: it is for an endpoint that few know, or behind a
// CDN. The function sees no difference: the payload is the same, and so is the rule by which bodies
// are in base64. Neither handles CORS: the function does, because it knows what SDKs send.
//
// An API that publishes by itself needs neither.
func (p *pipeline) addIngest() {
	n := p.topology.Names
	if p.settings.IngestEndpoint == settings.None {
		return
	}
	events, dead := p.queues[n.EventsQueue], p.queues[n.DeadLetterQueue]
	variables := map[string]*string{"SPILLWAY_QUEUE_URL": events.QueueUrl(),
		"SPILLWAY_DEAD_LETTER_QUEUE_URL": dead.QueueUrl()}
	if names := p.settings.WriteKeysParameters; len(names) > 0 {
		variables["SPILLWAY_WRITE_KEYS_PARAMETER"] = jsii.String(strings.Join(names, ","))
	}
	if object := p.settings.KeysObject(p.region); object != "" {
		variables["SPILLWAY_WRITE_KEYS_OBJECT"] = jsii.String(object)
	}
	if url := p.settings.SDKURL(); url != "" {
		variables["SPILLWAY_PUBLIC_URL"] = jsii.String(url)
	}
	if p.settings.PathPrefix != "" {
		variables["SPILLWAY_PATH_PREFIX"] = jsii.String(p.settings.PathPrefix)
	}
	if p.settings.FairQueues != settings.FairAuto {
		variables["SPILLWAY_FAIR_QUEUES"] = jsii.String(p.settings.FairQueues)
	}
	if len(p.fallbackRegions()) > 0 {
		variables["SPILLWAY_FALLBACK_QUEUE_URLS"] = p.fallbackURLs(n.EventsQueue)
		variables["SPILLWAY_FALLBACK_DEAD_LETTER_QUEUE_URLS"] = p.fallbackURLs(n.DeadLetterQueue)
	}
	if p.settings.Canary {
		variables["SPILLWAY_CANARY_WRITE_KEY"] = p.canaryKey()
	}
	archived := p.archive.stream != nil
	if archived { // deliver puts into the archive what ingest sends to the bulk queue
		variables["SPILLWAY_ARCHIVE_QUEUE_URL"] = p.queues[n.BulkQueue].QueueUrl()
	}
	ingest := p.newFunction(n.IngestFunction, "sends events from SDKs to the queue", variables)
	events.grantSend(ingest.role)
	dead.grantSend(ingest.role)
	if archived {
		p.queues[n.BulkQueue].grantSend(ingest.role)
	}
	p.grantFallbacks(ingest)
	for _, name := range p.settings.WriteKeysParameters {
		p.grantRead(ingest.role, name, name+":*") // earlier versions are read as name:number
	}
	p.grantKeysObject(ingest.role)
	if p.settings.IngestEndpoint == settings.FunctionURL {
		p.endpoint = p.newFunctionURL(ingest)
	} else {
		p.endpoint = p.newHTTPAPI(p.addLive(n.IngestFunction))
	}
}

// grantKeysObject allows the role to read the object with the write keys, and to list and read its
// earlier versions, but nothing else of its bucket.
func (p *pipeline) grantKeysObject(role awsiam.Role) {
	object := p.settings.KeysObject(p.region)
	if object == "" {
		return
	}
	bucket, key, _ := s3.ParseURI(object) // validated
	arn := "arn:" + *p.Partition() + ":s3:::" + bucket
	allow(role, []*string{jsii.String(arn + "/" + key)}, "s3:GetObject", "s3:GetObjectVersion")
	role.AddToPolicy(awsiam.NewPolicyStatement(&awsiam.PolicyStatementProps{
		Actions: jsii.Strings("s3:ListBucketVersions"), Resources: &[]*string{jsii.String(arn)},
		Conditions: &map[string]any{"StringEquals": map[string]string{"s3:prefix": key}},
	}))
	if kms := p.settings.KMSKey(p.region); kms != "" {
		allow(role, []*string{jsii.String(kms)}, "kms:Decrypt")
	}
}

func (p *pipeline) newFunctionURL(ingest function) endpoint {
	url := ingest.AddFunctionUrl(&awslambda.FunctionUrlOptions{AuthType: awslambda.FunctionUrlAuthType_NONE,
		InvokeMode: awslambda.InvokeMode_BUFFERED})
	return endpoint{url: url.Url(), metrics: topology.FunctionURLMetrics(p.topology.Names.IngestFunction)}
}

// accessLog is a line of the access log. It has no path, which may contain a write key, no query,
// which may contain an event, and no address. functionStatus is the status of the function's
// answer: context.integrationStatus would be that of the call to Lambda, 200 whenever it ran.
// context.error.messageString has quotes of its own and would break the line.
var accessLog = map[string]string{
	"time": "$context.requestTime", "requestId": "$context.requestId", "method": "$context.httpMethod",
	"protocol": "$context.protocol",
	"status":   "$context.status", "bytes": "$context.responseLength", "latencyMs": "$context.responseLatency",
	"functionStatus": "$context.integration.status", "functionError": "$context.integrationErrorMessage",
	"gatewayError": "$context.error.message",
}

func (p *pipeline) newHTTPAPI(ingest awslambda.IFunction) endpoint {
	limits := p.topology.IngestEndpoint
	integration := awsapigatewayv2integrations.NewHttpLambdaIntegration(jsii.String("IngestIntegration"), ingest,
		&awsapigatewayv2integrations.HttpLambdaIntegrationProps{
			PayloadFormatVersion: awsapigatewayv2.PayloadFormatVersion_VERSION_2_0(), ScopePermissionToRoute: jsii.Bool(true),
		})
	api := awsapigatewayv2.NewHttpApi(p.Stack, jsii.String("IngestApi"), &awsapigatewayv2.HttpApiProps{
		ApiName:     jsii.String(p.topology.Names.IngestFunction),
		Description: jsii.String("ingest endpoint for Segment's SDKs"), CreateDefaultStage: jsii.Bool(false),
		DefaultIntegration: integration,
	})
	// When another function or alias is called, it must allow it first.
	route := api.Node().FindChild(jsii.String("DefaultRoute")).Node()
	route.FindChild(jsii.String("IngestIntegration")).Node().AddDependency(
		route.FindChild(jsii.String("IngestIntegration-Permission")))
	log := p.newLogGroup("IngestApiLog", p.topology.Names.AccessLog(), limits.LogRetention)
	format, _ := json.Marshal(accessLog) // a map of strings: it can't fail, and its keys are in order
	stage := awsapigatewayv2.NewCfnStage(p.Stack, jsii.String("IngestApiStage"), &awsapigatewayv2.CfnStageProps{
		ApiId: api.ApiId(), StageName: jsii.String("$default"), AutoDeploy: jsii.Bool(true),
		DefaultRouteSettings: &awsapigatewayv2.CfnStage_RouteSettingsProperty{
			ThrottlingRateLimit: jsii.Number(limits.RequestsPerSecond), ThrottlingBurstLimit: jsii.Number(limits.Burst),
		},
		AccessLogSettings: &awsapigatewayv2.CfnStage_AccessLogSettingsProperty{DestinationArn: log.LogGroupArn(),
			Format: jsii.String(string(format))},
	})
	made := endpoint{url: api.ApiEndpoint(), metrics: topology.HTTPAPIMetrics(*api.ApiId())}
	if p.settings.Domain != "" {
		made.url = jsii.String(p.settings.DomainURL())
		made.target = p.addDomain(api, stage)
	}
	return made
}
