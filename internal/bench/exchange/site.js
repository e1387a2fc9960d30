// The plain part of package site, for workerd.
const encoder = new TextEncoder();

export default {
	async fetch(request) {
		const { pathname } = new URL(request.url);
		if (pathname.startsWith("/hello/")) {
			return new Response(`Hello, ${decodeURIComponent(pathname.slice(7))}!\n`);
		}
		if (pathname === "/greet") {
			const { name } = await request.json();
			return Response.json({ greeting: `Hello, ${name}!` });
		}
		if (pathname === "/events") {
			let timer;
			const events = new ReadableStream({
				start(to) {
					const send = () => to.enqueue(encoder.encode("data: now\n\n"));
					send();
					timer = setInterval(send, 1000);
				},
				cancel() { clearInterval(timer); },
			});
			return new Response(events, { headers: { "content-type": "text/event-stream" } });
		}
		return new Response("not found", { status: 404 });
	},
};
