(input) => JSON.stringify({greeting: "Hello, " + JSON.parse(input).name + "!"})
