package signed

import (
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	awsconfig "github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/smithy-go"
)

// service answers every request with the same, and keeps the last one.
type service struct {
	status    int
	errorType string
	body      string
	last      *http.Request
	sent      string
}

func (s *service) config(t *testing.T) aws.Config {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.last = r
		sent, _ := io.ReadAll(r.Body)
		s.sent = string(sent)
		if s.errorType != "" {
			w.Header().Set("X-Amzn-ErrorType", s.errorType)
		}
		w.WriteHeader(s.status)
		_, _ = w.Write([]byte(s.body))
	}))
	t.Cleanup(server.Close)
	return aws.Config{Region: "eu-west-1", BaseEndpoint: aws.String(server.URL + "/"),
		Credentials: credentials.NewStaticCredentialsProvider("AKID", "secret", "token")}
}

func TestAResourceIsReadWithASignature(t *testing.T) {
	s := &service{status: http.StatusOK, body: `{"State":"Active"}`}
	var answer struct{ State string }
	err := Lambda(s.config(t)).JSON(t.Context(), "/2015-03-31/functions/f", url.Values{"Qualifier": {"2"}}, &answer)
	if err != nil || answer.State != "Active" {
		t.Errorf("%+v, %v", answer, err)
	}
	signature := s.last.Header.Get("Authorization")
	if !strings.HasPrefix(signature, "AWS4-HMAC-SHA256 Credential=AKID/") ||
		!strings.Contains(signature, "/eu-west-1/lambda/aws4_request") ||
		s.last.Header.Get("X-Amz-Security-Token") != "token" ||
		s.last.URL.RequestURI() != "/2015-03-31/functions/f?Qualifier=2" {
		t.Errorf("%s with %q", s.last.URL.RequestURI(), signature)
	}
}

func TestAnActionIsCalledByItsName(t *testing.T) {
	s := &service{status: http.StatusOK, body: `<R xmlns="x"><Result><Token>next</Token></Result></R>`}
	var answer struct{ Result struct{ Token string } }
	err := SNS(s.config(t)).XML(t.Context(), "List", "2010-03-31", url.Values{"TopicArn": {"arn:x"}}, &answer)
	if err != nil || answer.Result.Token != "next" ||
		s.last.Method != http.MethodPost || s.sent != "Action=List&TopicArn=arn%3Ax&Version=2010-03-31" ||
		!strings.HasPrefix(s.last.Header.Get("Content-Type"), "application/x-www-form-urlencoded") {
		t.Errorf("%+v, %v, sent %q with %v", answer, err, s.sent, s.last.Header)
	}
}

func TestAnActionOfAnAPIThatSpeaksJSONIsCalled(t *testing.T) {
	s := &service{status: http.StatusOK, body: `{"FailedEntryCount":2}`}
	var answer struct{ FailedEntryCount int }
	err := EventBridge(s.config(t)).Call(t.Context(), "AWSEvents.PutEvents", map[string]int{"a": 1}, &answer)
	if err != nil || answer.FailedEntryCount != 2 || s.last.Method != http.MethodPost || s.sent != `{"a":1}` ||
		s.last.Header.Get("X-Amz-Target") != "AWSEvents.PutEvents" ||
		s.last.Header.Get("Content-Type") != "application/x-amz-json-1.1" ||
		!strings.Contains(s.last.Header.Get("Authorization"), "/eu-west-1/events/aws4_request") {
		t.Errorf("%+v, %v, sent %q with %v", answer, err, s.sent, s.last.Header)
	}
}

func TestAnObjectOfS3IsWrittenWithTheHashOfItsContent(t *testing.T) {
	s := &service{status: http.StatusPreconditionFailed, body: "<Error><Code>PreconditionFailed</Code></Error>"}
	a, err := S3(s.config(t), "b").Do(t.Context(), Request{Method: http.MethodPut, Path: "/site/a_b.json",
		Header: http.Header{"If-Match": {`"x"`}}, Body: []byte("{}")})
	if err != nil || a.Status != http.StatusPreconditionFailed || string(a.Body) != s.body {
		t.Errorf("%+v, %v", a, err)
	}
	signature := s.last.Header.Get("Authorization")
	if s.last.Method != http.MethodPut || s.last.URL.Path != "/b/site/a_b.json" || s.sent != "{}" ||
		s.last.Header.Get("If-Match") != `"x"` || !strings.Contains(signature, "/eu-west-1/s3/aws4_request") ||
		!strings.Contains(signature, "if-match;x-amz-content-sha256;") ||
		s.last.Header.Get("X-Amz-Content-Sha256") != "44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a" {
		t.Errorf("%s %s, sent %q with %v", s.last.Method, s.last.URL, s.sent, s.last.Header)
	}
}

func TestAnErrorOfAWSHasItsCodeAndText(t *testing.T) {
	for name, c := range map[string]struct {
		service service
		want    string
	}{
		"JSON": {service{status: 403, errorType: "AccessDeniedException:http://x", body: `{"Message":"not authorized"}`},
			"AccessDeniedException: not authorized"},
		"lower case": {service{status: 404, errorType: "ResourceNotFoundException", body: `{"message":"no function"}`},
			"ResourceNotFoundException: no function"},
		"XML": {service{status: 403,
			body: `<ErrorResponse><Error><Code>AuthorizationError</Code><Message>no</Message></Error></ErrorResponse>`},
			"AuthorizationError: no"},
		"a type in the body": {service{status: 400, body: `{"__type":"com.amazon#ThrottlingException","message":"slow"}`},
			"ThrottlingException: slow"},
		"a proxy's page": {service{status: 502, body: "<html>bad gateway"}, "HTTP 502: Bad Gateway"},
	} {
		c.service.errorType = strings.TrimSpace(c.service.errorType)
		config := c.service.config(t)
		call := func() error { return Lambda(config).JSON(t.Context(), "/", nil, new(any)) }
		if name == "XML" {
			call = func() error { return SNS(config).XML(t.Context(), "List", "v", nil, new(struct{})) }
		}
		var got smithy.APIError
		if err := call(); !errors.As(err, &got) || got.ErrorCode()+": "+got.ErrorMessage() != c.want {
			t.Errorf("%s: %v, want %s", name, err, c.want)
		}
	}
	s := &service{status: http.StatusOK, body: "<html>"}
	if err := Lambda(s.config(t)).JSON(t.Context(), "/", nil, new(any)); err == nil {
		t.Error("an answer that is no JSON is no error")
	}
}

func TestTheHostFollowsThePartition(t *testing.T) {
	for region, want := range map[string]string{
		"eu-west-1": "https://lambda.eu-west-1.amazonaws.com", "cn-north-1": "https://lambda.cn-north-1.amazonaws.com.cn",
		"us-gov-west-1": "https://lambda.us-gov-west-1.amazonaws.com",
	} {
		got, err := Lambda(aws.Config{Region: region}).endpoint(t.Context())
		if err != nil || got != want {
			t.Errorf("%s: %s, %v, want %s", region, got, err, want)
		}
	}
	got, err := S3(aws.Config{Region: "cn-north-1"}, "b").endpoint(t.Context())
	if want := "https://b.s3.cn-north-1.amazonaws.com.cn"; err != nil || got != want {
		t.Errorf("a bucket: %s, %v, want %s", got, err, want)
	}
	t.Setenv("AWS_ENDPOINT_URL_SNS", "http://localhost:1/")
	if got, _ := SNS(aws.Config{Region: "eu-west-1"}).endpoint(t.Context()); got != "http://localhost:1" {
		t.Errorf("with a variable: %s", got)
	}
}

func TestTheHostIsTheVariantThatTheSDKsVariablesAskFor(t *testing.T) {
	for _, c := range []struct {
		fips, dualStack, service, bucket string
	}{
		{"true", "", "https://ssm-fips.us-east-1.amazonaws.com", "https://b.s3-fips.us-east-1.amazonaws.com"},
		{"", "true", "https://ssm.us-east-1.api.aws", "https://b.s3.us-east-1.amazonaws.com"},
		{"true", "true", "https://ssm-fips.us-east-1.api.aws", "https://b.s3-fips.us-east-1.amazonaws.com"},
		{"false", "false", "https://ssm.us-east-1.amazonaws.com", "https://b.s3.us-east-1.amazonaws.com"},
	} {
		t.Setenv("AWS_USE_FIPS_ENDPOINT", c.fips)
		t.Setenv("AWS_USE_DUALSTACK_ENDPOINT", c.dualStack)
		config, err := awsconfig.LoadDefaultConfig(t.Context(), awsconfig.WithRegion("us-east-1"))
		if err != nil {
			t.Fatal(err)
		}
		service, err := SSM(config).endpoint(t.Context())
		bucket, failed := S3(config, "b").endpoint(t.Context())
		if service != c.service || bucket != c.bucket || err != nil || failed != nil {
			t.Errorf("%+v: %s, %v, and %s, %v", c, service, err, bucket, failed)
		}
	}
}

func TestAVersionIsInvokedAndItsFailureIsNoError(t *testing.T) {
	var header http.Header
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		header = r.Header
		if r.Method != http.MethodPost ||
			r.URL.RequestURI() != "/2015-03-31/functions/spillway-deliver/invocations?Qualifier=7" {
			w.Header().Set("X-Amzn-ErrorType", "ResourceNotFoundException")
			w.WriteHeader(http.StatusNotFound)
			return
		}
		w.Header().Set("X-Amz-Function-Error", "Unhandled")
		w.Header().Set("X-Amz-Log-Result", "cGFuaWM6IGJ1Zw==")
		_, _ = io.Copy(w, r.Body)
	}))
	defer server.Close()
	client := Lambda(aws.Config{Region: "eu-west-1", BaseEndpoint: aws.String(server.URL),
		Credentials: credentials.NewStaticCredentialsProvider("AKID", "secret", "")})
	i, err := Invoke(t.Context(), client, "spillway-deliver", "7", []byte(`{"n":1}`))
	if err != nil || string(i.Answer) != `{"n":1}` || i.Failed != "Unhandled" || i.Log != "panic: bug" {
		t.Errorf("%+v, %v", i, err)
	}
	if header.Get("X-Amz-Invocation-Type") != "RequestResponse" || header.Get("X-Amz-Log-Type") != "Tail" ||
		!strings.Contains(header.Get("Authorization"), "/eu-west-1/lambda/aws4_request") {
		t.Errorf("%v", header)
	}
	_, err = Invoke(t.Context(), client, "spillway-deliver", "8", nil)
	if failed, ok := errors.AsType[smithy.APIError](err); !ok || failed.ErrorCode() != "ResourceNotFoundException" {
		t.Errorf("%v", err)
	}
}

func TestAnAddressIsThatOfAWSWhateverEndpointIsSet(t *testing.T) {
	t.Setenv("AWS_ENDPOINT_URL_S3", "http://localhost:1")
	for region, want := range map[string]string{
		"eu-west-1":  "https://b.s3.eu-west-1.amazonaws.com/a/b.json",
		"cn-north-1": "https://b.s3.cn-north-1.amazonaws.com.cn/a/b.json",
	} {
		c := aws.Config{Region: region, BaseEndpoint: aws.String("http://localhost:2")}
		if got, err := S3(c, "b").Address(t.Context(), "/a/b.json"); got != want || err != nil {
			t.Errorf("%s: %s, %v, want %s", region, got, err, want)
		}
	}
}
