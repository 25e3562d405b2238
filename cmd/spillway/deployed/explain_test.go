package deployed

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/aws/smithy-go"
	smithyhttp "github.com/aws/smithy-go/transport/http"
)

func TestAnErrorOfAWSSaysWhatToDo(t *testing.T) {
	answered := func(code, message string) error {
		return &smithy.OperationError{ServiceID: "CloudWatch", OperationName: "GetMetricData",
			Err: fmt.Errorf("https response error StatusCode: 400, RequestID: 1, %w",
				&smithy.GenericAPIError{Code: code, Message: message})}
	}
	sending := func(err error) error {
		return &smithy.OperationError{ServiceID: "CloudWatch", OperationName: "GetMetricData",
			Err: &url.Error{Op: "Post", URL: "https://monitoring.eu-west-1.amazonaws.com/x", Err: err}}
	}
	for _, c := range []struct {
		err  error
		want string
	}{
		{answered("AccessDenied", "User x is not authorized"), "allow your role cloudwatch:GetMetricData (User x is not authorized)"},
		{answered("ExpiredToken", "The security token included in the request is expired"), "your AWS credentials have expired: sign in again"},
		{answered("ExpiredTokenException", ""), "your AWS credentials have expired"},
		{answered("Throttling", "Rate exceeded"), "AWS throttles this account's calls of cloudwatch:GetMetricData"},
		{answered("SignatureDoesNotMatch", "Signature expired: 20261127T1200Z is now earlier than"), "AWS refuses this machine's clock"},
		{answered("InvalidSignatureException", "Signature not yet current"), "AWS refuses this machine's clock"},
		{answered("RequestTimeTooSkewed", "The difference is too large"), "set it by NTP (The difference is too large)"},
		{answered("SignatureDoesNotMatch", "The request signature we calculated does not match"), "AWS does not know your credentials"},
		{answered("UnrecognizedClientException", "The security token is invalid"), "AWS does not know your credentials"},
		{answered("InternalFailure", ""), "cloudwatch answered InternalFailure: InternalFailure"},
		{sending(&net.OpError{Op: "dial", Err: &net.DNSError{Name: "monitoring.eu-wset-1.amazonaws.com", IsNotFound: true}}),
			"there is no host monitoring.eu-wset-1.amazonaws.com: is the region right"},
		{&smithy.OperationError{ServiceID: "CloudWatch", OperationName: "GetMetricData", Err: &smithyhttp.ResponseError{
			Response: &smithyhttp.Response{Response: &http.Response{StatusCode: 502}}, Err: errors.New("deserialization failed")}},
			"cloudwatch answered HTTP 502, and nothing that can be read"},
		{sending(errors.New("connection refused")), "monitoring.eu-west-1.amazonaws.com can't be reached: connection refused"},
		{sending(context.DeadlineExceeded), "cloudwatch has not answered in time"},
		{errors.New("get identity: get credentials: failed to refresh cached credentials, no EC2 role"), "no AWS credentials can be had"},
	} {
		got := Explain(c.err, "read the metrics", "cloudwatch:GetMetricData")
		if !strings.HasPrefix(got.Error(), "can't read the metrics: ") || !strings.Contains(got.Error(), c.want) || !errors.Is(got, c.err) {
			t.Errorf("%v\nis explained as %v\nwant %s", c.err, got, c.want)
		}
		if strings.Contains(got.Error(), "RequestID") {
			t.Errorf("%v quotes the SDK", got)
		}
	}
	if Explain(nil, "", "") != nil {
		t.Error("no error is explained as one")
	}
}
