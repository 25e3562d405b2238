package main

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

func complete(more ...string) []string {
	return append([]string{"PATH=/bin", "SPILLWAY_QUEUE_URL=https://sqs.eu-west-1.amazonaws.com/1/events",
		"SPILLWAY_DEAD_LETTER_QUEUE_URL=https://sqs.eu-west-1.amazonaws.com/1/dead"}, more...)
}

func TestTheTwoQueuesAreEnough(t *testing.T) {
	c, err := readConfig(complete())
	if err != nil || c.lambda || c.listen != ":8080" || c.proxies != 0 || c.grace != 25*time.Second {
		t.Errorf("%+v, %v", c, err)
	}
}

func TestTheAddressIsThatOfTheMostParticularVariable(t *testing.T) {
	for _, c := range []struct {
		variables []string
		want      string
	}{
		{[]string{"PORT=3000"}, ":3000"},
		{[]string{"PORT="}, ":8080"},
		{[]string{"PORT=3000", "SPILLWAY_LISTEN=127.0.0.1:0"}, "127.0.0.1:0"},
		{[]string{"SPILLWAY_LISTEN=[::1]:9000", "PORT=3000"}, "[::1]:9000"},
		{[]string{"SPILLWAY_LISTEN="}, ":8080"},
	} {
		got, err := readConfig(complete(c.variables...))
		if err != nil || got.listen != c.want {
			t.Errorf("%v: %q, %v", c.variables, got.listen, err)
		}
	}
}

func TestAWrongVariableIsNamedWithWhatToWrite(t *testing.T) {
	for _, c := range []struct {
		variables []string
		want      string
	}{
		{[]string{"SPILLWAY_QUEUE_URL="}, "write the queue's URL"},
		{[]string{"SPILLWAY_DEAD_LETTER_QUEUE_URL=dead"}, "write the queue's URL"},
		{[]string{"SPILLWAY_LOG_LEVEL=loud"}, "write debug, info, warn or error"},
		{[]string{"SPILLWAY_WRITE_KEY=x"}, "SPILLWAY_WRITE_KEY is not known: write one of SPILLWAY_NAME,"},
		{[]string{"SPILLWAY_WRITE_KEYS_FILE=a", "SPILLWAY_WRITE_KEYS_PARAMETER=b"}, "both set: write one of them"},
		{[]string{"SPILLWAY_TRUSTED_PROXIES=many"}, "0 to 10"},
		{[]string{"SPILLWAY_TRUSTED_PROXIES=-1"}, "0 to 10"},
		{[]string{"SPILLWAY_SHUTDOWN_GRACE=25"}, "write a duration like 25s"},
		{[]string{"SPILLWAY_LISTEN=8080"}, "SPILLWAY_LISTEN is \"8080\": write host:port"},
		{[]string{"SPILLWAY_LISTEN=:web"}, "write host:port"},
		{[]string{"PORT=99999"}, "PORT is \"99999\""},
		{[]string{"AWS_LAMBDA_RUNTIME_API=127.0.0.1:9001", "SPILLWAY_LISTEN=:80"}, "SPILLWAY_LISTEN is for the plain server"},
		{[]string{"AWS_LAMBDA_RUNTIME_API=127.0.0.1:9001", "SPILLWAY_TRUSTED_PROXIES=1"}, "leave it out"},
	} {
		if _, err := readConfig(complete(c.variables...)); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%v: got %v, want an error with %q", c.variables, err, c.want)
		}
	}
}

func TestAllMistakesAreNamedAtOnce(t *testing.T) {
	_, err := readConfig([]string{"SPILLWAY_LISTEN=x", "SPILLWAY_LOG_LEVEL=loud"})
	for _, name := range []string{envQueueURL, envDeadLetterQueueURL, envListen, envLogLevel} {
		if err == nil || !strings.Contains(err.Error(), name+" is") {
			t.Errorf("%s is not named: %v", name, err)
		}
	}
}

func TestALambdaIsRecognisedAndNeedsNoAddress(t *testing.T) {
	c, err := readConfig(complete("AWS_LAMBDA_RUNTIME_API=127.0.0.1:9001", "PORT=rubbish"))
	if err != nil || !c.lambda {
		t.Errorf("%+v, %v", c, err)
	}
	if shown := fmt.Sprint(c.LogValue()); !strings.Contains(shown, "sqs.eu-west-1") || strings.Contains(shown, "listen") {
		t.Errorf("shown: %s", shown)
	}
}

func TestTheCanarysKeyIsNotShown(t *testing.T) {
	c, err := readConfig(complete("SPILLWAY_CANARY_WRITE_KEY=very-secret"))
	if err != nil || c.canaryKey != "very-secret" {
		t.Errorf("%+v, %v", c, err)
	}
	if shown := fmt.Sprint(c.LogValue()); !strings.Contains(shown, "canary=true") || strings.Contains(shown, "secret") {
		t.Errorf("shown: %s", shown)
	}
}

func TestTheMemoryLimitFitsWhereItRuns(t *testing.T) {
	for name, c := range map[string]struct {
		environ map[string]string
		want    int64
	}{
		"server":           {nil, 110 << 20},
		"somebody's own":   {map[string]string{"GOMEMLIMIT": "1GiB", "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "512"}, -1},
		"Lambda":           {map[string]string{"AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "1000"}, 800 << 20},
		"what is nonsense": {map[string]string{"AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "much"}, 110 << 20},
	} {
		if got := memoryLimit(func(name string) (string, bool) { v, ok := c.environ[name]; return v, ok }); got != c.want {
			t.Errorf("%s: %d, want %d", name, got, c.want)
		}
	}
}
