"""The fidelity study: do the claims of the SPA paper hold, and what is each part worth?"""
