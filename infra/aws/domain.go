package main

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"strings"

	"github.com/aws/aws-cdk-go/awscdk/v2/awsapigatewayv2"
	"github.com/aws/aws-cdk-go/awscdk/v2/awscertificatemanager"
	"github.com/aws/aws-cdk-go/awscdk/v2/awsroute53"
	"github.com/aws/constructs-go/constructs/v10"
	"github.com/aws/jsii-runtime-go"

	"github.com/spillwayhq/spillway/infra/topology"
)

// A domain is the host name that the ingest endpoints of all regions share. The stack of each region
// makes what is its own: certificate, custom domain of the API, and its records among those of the
// name. So no stack depends on another, and a region is added or deleted alone.
type domain struct {
	custom awsapigatewayv2.CfnDomainName
	works  []constructs.IConstruct // what the name needs in this region, before a record leads here
}

// addDomain gives the API the settings' domain, and returns the host that the domain's records in
// this region point to. The API answers at its own host too: `doctor` and people ask one region.
func (p *pipeline) addDomain(api awsapigatewayv2.HttpApi, stage awsapigatewayv2.CfnStage) *string {
	custom := awsapigatewayv2.NewCfnDomainName(p.Stack, jsii.String("IngestDomain"), &awsapigatewayv2.CfnDomainNameProps{
		DomainName: jsii.String(p.settings.Domain),
		DomainNameConfigurations: []any{&awsapigatewayv2.CfnDomainName_DomainNameConfigurationProperty{
			CertificateArn: p.certificate(), EndpointType: jsii.String("REGIONAL"),
			SecurityPolicy: jsii.String("TLS_1_2"), IpAddressType: jsii.String("dualstack"), // for the AAAA records
		}},
	})
	mapping := awsapigatewayv2.NewCfnApiMapping(p.Stack, jsii.String("IngestDomainMapping"),
		&awsapigatewayv2.CfnApiMappingProps{ApiId: api.ApiId(), DomainName: custom.Ref(), Stage: stage.StageName()})
	mapping.Node().AddDependency(stage)
	p.domain = &domain{custom, []constructs.IConstruct{api, mapping}}
	return custom.AttrRegionalDomainName()
}

// certificate is the ARN of this region's: that of the settings, or a new one, for which ACM itself
// makes a record in the zone. All regions have the same record, and CloudFormation leaves it there:
// the certificates of the others need it to be renewed.
func (p *pipeline) certificate() *string {
	if arn := p.settings.Certificate(p.region); arn != "" {
		return jsii.String(arn)
	}
	return awscertificatemanager.NewCfnCertificate(p.Stack, jsii.String("IngestCertificate"),
		&awscertificatemanager.CfnCertificateProps{
			DomainName: jsii.String(p.settings.Domain), ValidationMethod: jsii.String("DNS"),
			DomainValidationOptions: []any{&awscertificatemanager.CfnCertificate_DomainValidationOptionProperty{
				DomainName: jsii.String(p.settings.Domain), HostedZoneId: jsii.String(p.zoneID)}},
		}).Ref()
}

// addRecords leads the domain to this region: by latency, and only while its health check is
// healthy. Without a zone it says which records to make elsewhere.
//
// With one region there is no health check: there is nowhere else to go to. A region that is added
// later finds latency records, to which its own can be added; a plain record would be in its way.
func (p *pipeline) addRecords() {
	if p.domain == nil {
		return
	}
	target := p.domain.custom.AttrRegionalDomainName()
	p.output(topology.OutputIngestTarget, "the host of this region, to which the records of the domain point", target)
	var check *string
	if len(p.settings.Regions) > 1 {
		check = p.addHealthCheck()
		p.output(topology.OutputHealthCheck, "the health check of this region's records", check)
	}
	if p.settings.HostedZone == "" {
		p.output(topology.OutputDomainRecords, "the records to make in the domain's zone, as Route 53 reads them; "+
			"elsewhere a CNAME to "+topology.OutputIngestTarget, p.recordsToMake(check))
		return
	}
	for _, kind := range recordTypes {
		record := awsroute53.NewCfnRecordSet(p.Stack, jsii.String("IngestRecord"+kind), &awsroute53.CfnRecordSetProps{
			HostedZoneId: jsii.String(p.zoneID), Name: jsii.String(p.settings.Domain), Type: jsii.String(kind),
			SetIdentifier: jsii.String(p.region), Region: jsii.String(p.region), HealthCheckId: check,
			AliasTarget: &awsroute53.CfnRecordSet_AliasTargetProperty{
				DnsName: target, HostedZoneId: p.domain.custom.AttrRegionalHostedZoneId(),
				EvaluateTargetHealth: jsii.Bool(false), // our alarms alone decide
			},
		})
		for _, needed := range p.domain.works {
			record.Node().AddDependency(needed)
		}
	}
}

// recordTypes are those of the domain's records.
var recordTypes = [...]string{"A", "AAAA"}

// addHealthCheck creates the health check of this region's records, and returns its ID. It is
// healthy while none of the topology's alarms for routing fires. Route 53 reads the alarms' metrics
// itself and sends no request, and an alarm that somebody sets by hand switches nothing.
func (p *pipeline) addHealthCheck() *string {
	var children []*string
	for i := range p.topology.Routing {
		children = append(children, p.alarmCheck(&p.topology.Routing[i]))
	}
	return p.newHealthCheck("IngestHealthCheck", "", &awsroute53.CfnHealthCheck_HealthCheckConfigProperty{
		Type: jsii.String("CALCULATED"), ChildHealthChecks: &children, HealthThreshold: jsii.Number(len(children)),
	}).AttrHealthCheckId()
}

// alarmCheck creates the health check of one alarm, and returns its ID. Route 53 copies the alarm
// when the check is made, and never looks at it again (Route 53 developer guide, "Updating health
// checks when you change CloudWatch alarm settings"). So the check's ID has the hash of what it
// copies: another alarm makes another check.
func (p *pipeline) alarmCheck(a *topology.Alarm) *string {
	noData := "LastKnownStatus" // of a new check: healthy
	if a.Missing == topology.MissingIsBad {
		noData = "Unhealthy"
	}
	id := p.alarmID(a.Name)
	check := p.newHealthCheck(strings.TrimSuffix(id, "Alarm")+"Check"+copied(a),
		strings.TrimPrefix(a.Name, p.topology.Names.Alarm("")), &awsroute53.CfnHealthCheck_HealthCheckConfigProperty{
			Type: jsii.String("CLOUDWATCH_METRIC"), InsufficientDataHealthStatus: jsii.String(noData),
			AlarmIdentifier: &awsroute53.CfnHealthCheck_AlarmIdentifierProperty{Name: jsii.String(a.Name),
				Region: jsii.String(p.region)},
		})
	check.Node().AddDependency(p.Node().FindChild(jsii.String(id))) // the name is no reference
	return check.AttrHealthCheckId()
}

// copied is a hash of what Route 53 copies of an alarm.
func copied(a *topology.Alarm) string {
	definition, _ := json.Marshal([]any{a.Metrics, a.Threshold, a.Below, a.Period, a.Periods}) // it can't fail
	sum := sha256.Sum256(definition)
	return strings.ToUpper(hex.EncodeToString(sum[:4]))
}

// newHealthCheck creates a health check, which people see in a list of all regions by its name.
func (p *pipeline) newHealthCheck(id, of string, config *awsroute53.CfnHealthCheck_HealthCheckConfigProperty,
) awsroute53.CfnHealthCheck {
	name := strings.TrimSpace(p.topology.Names.Stack(p.region) + " " + of)
	return awsroute53.NewCfnHealthCheck(p.Stack, jsii.String(id), &awsroute53.CfnHealthCheckProps{
		HealthCheckConfig: config,
		HealthCheckTags: &[]*awsroute53.CfnHealthCheck_HealthCheckTagProperty{{Key: jsii.String("Name"),
			Value: jsii.String(name)}},
	})
}

// recordsToMake are the records of this region as `aws route53 change-resource-record-sets` takes
// them.
func (p *pipeline) recordsToMake(check *string) *string {
	var changes []any
	for _, kind := range recordTypes {
		record := map[string]any{"Name": p.settings.Domain, "Type": kind, "SetIdentifier": p.region, "Region": p.region,
			"AliasTarget": map[string]any{"DNSName": p.domain.custom.AttrRegionalDomainName(),
				"HostedZoneId": p.domain.custom.AttrRegionalHostedZoneId(), "EvaluateTargetHealth": false}}
		if check != nil {
			record["HealthCheckId"] = check
		}
		changes = append(changes, map[string]any{"Action": "UPSERT", "ResourceRecordSet": record})
	}
	return p.ToJsonString(map[string]any{"Changes": changes}, nil)
}
