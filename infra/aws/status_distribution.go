package main

import (
	"fmt"
	"strings"

	"github.com/aws/aws-cdk-go/awscdk/v2"
	"github.com/aws/aws-cdk-go/awscdk/v2/awscertificatemanager"
	"github.com/aws/aws-cdk-go/awscdk/v2/awscloudfront"
	"github.com/aws/aws-cdk-go/awscdk/v2/awscloudfrontorigins"
	"github.com/aws/aws-cdk-go/awscdk/v2/awsiam"
	"github.com/aws/aws-cdk-go/awscdk/v2/awss3"
	"github.com/aws/jsii-runtime-go"

	"github.com/spillwayhq/spillway/infra/topology"
	"github.com/spillwayhq/spillway/shared/status"
)

// How long CloudFront keeps what is not there, and what it could not read: it shall see soon that
// it is there again, and not ask for it with each view.
const (
	missingTTL = 10
	failureTTL = 5
)

// connectSeconds is how long CloudFront tries to connect to a bucket, twice: after 6 s without a
// connection it asks the other bucket.
const connectSeconds = 3

// addDistribution creates the distribution in front of the buckets.
//
// It keeps no access log: the addresses of those who look are nothing that anybody here needs. It
// has no firewall and no edge function, which would be managed in us-east-1 and cost more than all
// else: it serves public files, and answers most views from its cache.
func (s *statusSite) addDistribution() {
	name := s.topology.Names.StatusStack(s.region) // unique in the account, as these names must be
	access := awscloudfront.NewS3OriginAccessControl(s.Stack, jsii.String("OriginAccess"),
		&awscloudfront.S3OriginAccessControlProps{OriginAccessControlName: jsii.String(name)})
	props := &awscloudfront.DistributionProps{
		Comment:           jsii.String("status site of " + s.topology.Names.Pipeline),
		DefaultRootObject: jsii.String("index.html"),
		DefaultBehavior: &awscloudfront.BehaviorOptions{
			Origin: s.origin(access), Compress: jsii.Bool(true),
			ViewerProtocolPolicy:  awscloudfront.ViewerProtocolPolicy_REDIRECT_TO_HTTPS,
			CachePolicy:           s.newCachePolicy(name),
			ResponseHeadersPolicy: s.newHeadersPolicy(name),
		},
		HttpVersion: awscloudfront.HttpVersion_HTTP2_AND_3, EnableIpv6: jsii.Bool(true),
		// North America and Europe. Others are served from there, some 100 ms later.
		PriceClass:     awscloudfront.PriceClass_PRICE_CLASS_100,
		ErrorResponses: errorResponses(),
	}
	host := s.settings.StatusDomain
	if host != "" { // for its own name CloudFront chooses the TLS versions itself
		props.DomainNames, props.MinimumProtocolVersion = jsii.Strings(host),
			awscloudfront.SecurityPolicyProtocol_TLS_V1_2_2021
		props.Certificate = awscertificatemanager.Certificate_FromCertificateArn(s.Stack, jsii.String("Certificate"),
			jsii.String(s.settings.StatusCertificate))
	}
	distribution := awscloudfront.NewDistribution(s.Stack, jsii.String("Distribution"), props)
	s.allowCloudFront(s.cloudFront("distribution/" + *distribution.DistributionId()))
	if host == "" {
		host = *distribution.DistributionDomainName()
	}
	s.output(topology.OutputStatusURL, "the status site", jsii.String("https://"+host))
	s.output(topology.OutputStatusHost, "what a CNAME record of the status site's domain must have as its value",
		distribution.DistributionDomainName())
}

// cloudFront is the ARN of a resource of CloudFront, which has no region.
func (s *statusSite) cloudFront(resource string) *string { return s.arnIn("", "cloudfront", resource) }

// allowCloudFront allows distributions of this account to read the site, and nothing beside it.
func (s *statusSite) allowCloudFront(distribution *string) {
	s.bucket.AddToResourcePolicy(awsiam.NewPolicyStatement(&awsiam.PolicyStatementProps{
		Sid:        jsii.String("CloudFront"),
		Principals: &[]awsiam.IPrincipal{awsiam.NewServicePrincipal(jsii.String("cloudfront.amazonaws.com"), nil)},
		Actions:    jsii.Strings("s3:GetObject"),
		Resources:  &[]*string{s.bucket.ArnForObjects(jsii.String(status.SiteFolder + "/*"))},
		Conditions: &map[string]any{"ArnLike": map[string]*string{"aws:SourceArn": distribution}},
	}))
}

// origin is the bucket of this region; with two status regions CloudFront asks the second bucket
// for what the first one can't give. That is also what it has not, or refuses: a bucket that was
// emptied, or whose policy was changed, is as good as away.
func (s *statusSite) origin(access awscloudfront.S3OriginAccessControl) awscloudfront.IOrigin {
	of := func(bucket awss3.IBucket) awscloudfront.IOrigin {
		return awscloudfrontorigins.S3BucketOrigin_WithBucketDefaults(bucket, &awscloudfront.OriginProps{
			OriginPath: jsii.String("/" + status.SiteFolder), OriginAccessControlId: access.OriginAccessControlId(),
			ConnectionAttempts: jsii.Number(2), ConnectionTimeout: awscdk.Duration_Seconds(jsii.Number(connectSeconds)),
		})
	}
	if len(s.settings.StatusRegions) == 1 {
		return of(s.bucket)
	}
	region := s.settings.StatusRegions[1]
	second := awss3.Bucket_FromBucketAttributes(s.Stack, jsii.String("SecondSite"), &awss3.BucketAttributes{
		BucketName: s.bucketName(region), Region: jsii.String(region),
	})
	codes := []*float64{}
	for _, code := range []float64{403, 404, 500, 502, 503, 504} {
		codes = append(codes, jsii.Number(code))
	}
	return awscloudfrontorigins.NewOriginGroup(&awscloudfrontorigins.OriginGroupProps{
		PrimaryOrigin: of(s.bucket), FallbackOrigin: of(second), FallbackStatusCodes: &codes,
	})
}

// newCachePolicy creates a policy that keeps objects for as long as they say themselves.
// CloudFront's own policies either keep what says nothing for a day, or hand the bucket the
// viewer's host, by which S3 finds no bucket.
func (s *statusSite) newCachePolicy(name string) awscloudfront.CachePolicy {
	return awscloudfront.NewCachePolicy(s.Stack, jsii.String("CachePolicy"), &awscloudfront.CachePolicyProps{
		CachePolicyName: jsii.String(name), Comment: jsii.String("as long as an object's Cache-Control says"),
		MinTtl: awscdk.Duration_Seconds(jsii.Number(0)), DefaultTtl: awscdk.Duration_Seconds(jsii.Number(30)),
		MaxTtl:                   awscdk.Duration_Days(jsii.Number(1)),
		HeaderBehavior:           awscloudfront.CacheHeaderBehavior_None(),
		CookieBehavior:           awscloudfront.CacheCookieBehavior_None(),
		QueryStringBehavior:      awscloudfront.CacheQueryStringBehavior_None(),
		EnableAcceptEncodingGzip: jsii.Bool(true), EnableAcceptEncodingBrotli: jsii.Bool(true),
	})
}

// newHeadersPolicy creates the site's headers. CloudFront takes those that it knows in fields of
// their own, and only there.
func (s *statusSite) newHeadersPolicy(name string) awscloudfront.ResponseHeadersPolicy {
	always := jsii.Bool(true)
	security := &awscloudfront.ResponseSecurityHeadersBehavior{}
	props := &awscloudfront.ResponseHeadersPolicyProps{
		ResponseHeadersPolicyName: jsii.String(name), Comment: jsii.String("headers of the status site"),
		SecurityHeadersBehavior: security,
	}
	var others []*awscloudfront.ResponseCustomHeader
	for _, h := range status.Headers() {
		switch h.Name {
		case "Content-Security-Policy":
			security.ContentSecurityPolicy = &awscloudfront.ResponseHeadersContentSecurityPolicy{
				ContentSecurityPolicy: jsii.String(h.Value), Override: always,
			}
		case "Strict-Transport-Security":
			security.StrictTransportSecurity = strictTransport(h.Value)
		case "X-Content-Type-Options":
			security.ContentTypeOptions = &awscloudfront.ResponseHeadersContentTypeOptions{Override: always}
		case "X-Frame-Options":
			security.FrameOptions = &awscloudfront.ResponseHeadersFrameOptions{
				FrameOption: awscloudfront.HeadersFrameOption(h.Value), Override: always,
			}
		case "Referrer-Policy":
			security.ReferrerPolicy = &awscloudfront.ResponseHeadersReferrerPolicy{
				ReferrerPolicy: referrerPolicies[h.Value], Override: always,
			}
		case "Access-Control-Allow-Origin":
			props.CorsBehavior = &awscloudfront.ResponseHeadersCorsBehavior{
				AccessControlAllowCredentials: jsii.Bool(false), AccessControlAllowHeaders: jsii.Strings("*"),
				AccessControlAllowMethods: jsii.Strings("GET", "HEAD"), AccessControlAllowOrigins: jsii.Strings(h.Value),
				OriginOverride: always,
			}
		default:
			others = append(others, &awscloudfront.ResponseCustomHeader{Header: jsii.String(h.Name), Value: jsii.String(h.Value),
				Override: always})
		}
	}
	if others != nil {
		props.CustomHeadersBehavior = &awscloudfront.ResponseCustomHeadersBehavior{CustomHeaders: &others}
	}
	return awscloudfront.NewResponseHeadersPolicy(s.Stack, jsii.String("Headers"), props)
}

// referrerPolicies are what the CDK calls them; its other constants are the headers' values.
var referrerPolicies = map[string]awscloudfront.HeadersReferrerPolicy{
	"no-referrer": awscloudfront.HeadersReferrerPolicy_NO_REFERRER,
}

// strictTransport reads a header like max-age=60; includeSubDomains.
func strictTransport(header string) *awscloudfront.ResponseHeadersStrictTransportSecurity {
	var age float64
	_, _ = fmt.Sscanf(header, "max-age=%f", &age) // a constant of this program, held by a test
	return &awscloudfront.ResponseHeadersStrictTransportSecurity{
		AccessControlMaxAge: awscdk.Duration_Seconds(jsii.Number(age)), Override: jsii.Bool(true),
		IncludeSubdomains: jsii.Bool(strings.Contains(header, "includeSubDomains")),
		Preload:           jsii.Bool(strings.Contains(header, "preload")),
	}
}

// errorResponses: S3 answers 403 for what is not there, because CloudFront may not list the bucket.
func errorResponses() *[]*awscloudfront.ErrorResponse {
	var all []*awscloudfront.ErrorResponse
	for _, code := range []float64{403, 404} {
		all = append(all, &awscloudfront.ErrorResponse{
			HttpStatus: jsii.Number(code), ResponseHttpStatus: jsii.Number(404),
			ResponsePagePath: jsii.String("/" + status.MissingFile),
			Ttl:              awscdk.Duration_Seconds(jsii.Number(missingTTL)),
		})
	}
	for _, code := range []float64{500, 502, 503, 504} {
		all = append(all, &awscloudfront.ErrorResponse{HttpStatus: jsii.Number(code),
			Ttl: awscdk.Duration_Seconds(jsii.Number(failureTTL))})
	}
	return &all
}
